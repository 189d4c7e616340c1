import { copyFile, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "./cache.ts";
import { must } from "./shell.ts";

const FOLDER = join(import.meta.dir, "../tests/foreign");
const RUST = ["Cargo.toml", "Cargo.lock", "bollard.rs"];

/** The npm packages of `tests/foreign/bun.lock` and a node of their own: that node, and the folder in which programs find them. */
export async function nodePackages(): Promise<{ node: string; folder: string }> {
  const folder = await made("npm", ["package.json", "bun.lock"], (work) =>
    must([process.execPath, "install", "--frozen-lockfile", "--ignore-scripts", "--no-progress"], { cwd: work }),
  );
  return { node: join(folder, `node_modules/node-linux-${process.arch}/bin/node`), folder };
}

/** The PyPI packages of `tests/foreign/requirements.txt`: the folder for PYTHONPATH. They hold no compiled code. */
export async function pythonPackages(): Promise<string> {
  return await made("pypi", ["requirements.txt"], (work) => {
    const options = ["--quiet", "--no-deps", "--only-binary=:all:", "--platform=any", "--root-user-action=ignore"];
    return must(["python3", "-m", "pip", "install", ...options, "--target", work, "-r", join(work, "requirements.txt")]);
  });
}

/** The program of `tests/foreign/bollard.rs`, built with its crates; undefined where there is no cargo, and until {@link buildRust} was called. */
export async function rustProgram(): Promise<string | undefined> {
  const path = join(await folderOf("cargo", RUST), "bollard");
  return (await Bun.file(path).exists()) ? path : undefined;
}

/** Builds it, where there is a cargo that can: a minute of two processors, once. Says why where it cannot. */
export async function buildRust(): Promise<void> {
  if (Bun.which("cargo") === null) return;
  try {
    await made("cargo", RUST, async (work) => {
      await must(["cargo", "build", "--locked", "--quiet"], { cwd: work, env: { CARGO_TARGET_DIR: join(work, "target") } });
      await rename(join(work, "target/debug/bollard"), join(work, "bollard"));
      await rm(join(work, "target"), { recursive: true });
    });
  } catch (error) {
    process.stderr.write(`bollard is left out: ${String(error).slice(0, 500)}\n`);
  }
}

/** A folder of the cache, filled by `fill` once for each content of the files that say what it holds. */
async function made(kind: string, files: readonly string[], fill: (work: string) => Promise<unknown>): Promise<string> {
  const folder = await folderOf(kind, files);
  if (await Bun.file(join(folder, "ready")).exists()) return folder;
  const work = `${folder}.${process.pid}`;
  await mkdir(work, { recursive: true });
  try {
    for (const file of files) await copyFile(join(FOLDER, file), join(work, file));
    await fill(work);
    await Bun.write(join(work, "ready"), "");
    await rm(folder, { recursive: true, force: true });
    await rename(work, folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return folder;
}

async function folderOf(kind: string, files: readonly string[]): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const file of files) hasher.update(await Bun.file(join(FOLDER, file)).bytes());
  return join(await cacheFolder("foreign"), `${kind}-${hasher.digest("hex").slice(0, 12)}`);
}
