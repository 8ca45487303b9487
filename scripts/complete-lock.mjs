// Adds to package-lock.json what a partial registry leaves out of it.
//
// Packages with a binary for each platform name all of them as optional dependencies. A registry mirror that holds
// only this platform's makes `npm install` drop the others from the lock, in silence, and `npm ci` then refuses the
// lock on every machine. Run it after `npm install` behind such a mirror; `--check` only tells what is missing.
import { readFileSync, writeFileSync } from "node:fs";

const FILE = new URL("../package-lock.json", import.meta.url);
const OS = { android: "android", darwin: "darwin", linux: "linux", win32: "win32", freebsd: "freebsd" };
const CPU = { arm64: "arm64", x64: "x64", amd64: "x64", arm: "arm", ia32: "ia32" };

const lock = JSON.parse(readFileSync(FILE, "utf8"));
const missing = Object.entries(lock.packages).flatMap(([path, entry]) => missingOf(path, entry));

if (process.argv.includes("--check")) {
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name).join(", ");
    process.stderr.write(`package-lock.json lacks ${names}: run node scripts/complete-lock.mjs\n`);
    process.exit(1);
  }
} else {
  for (const { name, entry } of missing) lock.packages[`node_modules/${name}`] = entry;
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`);
  process.stdout.write(`Added ${missing.length} packages to package-lock.json\n`);
}

function missingOf(path, entry) {
  const optional = Object.entries(entry.optionalDependencies ?? {});
  return optional
    .filter(([name]) => !isLocked(path, name) && entry.peerDependenciesMeta?.[name] === undefined)
    .map(([name, version]) => ({ name, entry: lockEntry(name, version, entry) }));
}

/** Where Node would look: beside the package, then in each folder above. */
function isLocked(path, name) {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
    if (lock.packages[`${folder === "" ? "" : `${folder}/`}node_modules/${name}`] !== undefined) return true;
    if (folder === "") return false;
  }
}

/** The platform is in the package's name. */
function lockEntry(name, version, parent) {
  const words = name.split(/[-/]/);
  const os = words.flatMap((word) => OS[word] ?? []);
  const cpu = words.flatMap((word) => CPU[word] ?? []);
  if (!/^\d[\w.+-]*$/.test(version) || os.length !== 1 || cpu.length !== 1) {
    throw new Error(`Cannot tell the platform of ${name}@${version}; add it to the lock by hand`);
  }
  return {
    version,
    cpu,
    ...(parent.dev === true ? { dev: true } : {}),
    ...(words.includes("musl") ? { libc: ["musl"] } : {}),
    ...(parent.license === undefined ? {} : { license: parent.license }),
    optional: true,
    os,
    ...(parent.engines === undefined ? {} : { engines: parent.engines }),
  };
}
