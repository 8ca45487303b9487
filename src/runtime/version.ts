/** This program's version, from its `package.json`; the same place seen from `src` and from `dist`. */
import { readFileSync } from "node:fs";

interface PackageJson {
  readonly version: string;
}

const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");

export const VERSION = (JSON.parse(text) as PackageJson).version;
