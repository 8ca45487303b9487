/** Finds the anvil binary that npm installed. */
import { accessSync, chmodSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/**
 * The absolute path of the binary, found beside the `@foundry-rs/anvil` package itself: neither PATH nor the
 * working directory matters, nor whether npm ran the package's install script.
 *
 * @throws {Error} when this platform has no package, or npm left the optional package out
 */
export function findAnvilBinary(): string {
  const name = `@foundry-rs/anvil-${process.platform}-${ARCHITECTURES[process.arch] ?? process.arch}`;
  const anvilPackage = createRequire(import.meta.url).resolve("@foundry-rs/anvil/package.json");
  const binary = join(
    dirname(resolveFrom(anvilPackage, name)),
    "bin",
    process.platform === "win32" ? "anvil.exe" : "anvil",
  );
  makeExecutable(binary);
  return binary;
}

function resolveFrom(anvilPackage: string, name: string): string {
  try {
    return createRequire(anvilPackage).resolve(`${name}/package.json`);
  } catch (cause) {
    throw new Error(
      `${name} is not installed: npm leaves it out with --omit=optional, or has none for this platform`,
      {
        cause,
      },
    );
  }
}

/** Some archives and package managers lose the executable bit. */
function makeExecutable(binary: string): void {
  try {
    accessSync(binary, constants.X_OK);
  } catch {
    chmodSync(binary, 0o755);
  }
}
