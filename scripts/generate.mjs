// Generates the Prisma client into src/db/generated, without any network.
//
// Prisma's CLI insists on a schema engine binary and would download one, although `generate` itself runs on
// WASM inside the package. Naming any existing executable satisfies it: the binary is never started here.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const output = join(root, "src/db/generated");
const stamp = join(output, ".source-hash");
const require = createRequire(import.meta.url);

const schema = readFileSync(join(root, "prisma/schema.prisma"));
const version = JSON.parse(readFileSync(require.resolve("prisma/package.json"), "utf8")).version;
const hash = createHash("sha256").update(schema).update(version).digest("hex");

if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash) process.exit(0);

const prisma = require.resolve("prisma/build/index.js");
const result = spawnSync(process.execPath, [prisma, "generate"], {
  cwd: root,
  encoding: "utf8",
  env: {
    ...process.env,
    PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
    PRISMA_HIDE_UPDATE_MESSAGE: "1",
    CHECKPOINT_DISABLE: "1",
  },
});
if (result.status !== 0) {
  process.stderr.write(
    `${result.stdout ?? ""}${result.stderr ?? ""}\nprisma generate failed with exit code ${result.status}\n`,
  );
  process.exit(1);
}
writeFileSync(stamp, hash);
