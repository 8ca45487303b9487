/** `npm run check`: refuses code that is in the wrong place. The rules are in scripts/layers. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkTree } from "./layers/check-tree.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const { fileCount, complaints } = checkTree(root);
for (const complaint of complaints) console.error(complaint);
if (complaints.length > 0) {
  console.error(
    `\n${complaints.length} in the wrong place, in ${fileCount} files. The layers are in scripts/layers/layer-rules.ts.`,
  );
  process.exitCode = 1;
} else {
  console.log(`Layers: ${fileCount} files, all in their place.`);
}
