/**
 * `bun tools/build.ts [outfile]`: links `src/main.ts` and every Worker into the one executable, by default `dist/lighter`, and puts
 * the link `docker` beside it (the launcher called as `docker` execs it by that name). What is in the executable and how Workers are
 * found in it: docs/decisions/0001-workers-in-the-executable.md.
 */
import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import type { BunPlugin } from "bun";
import packageJson from "../package.json";
import { commitOf } from "./commit.ts";

const root = join(import.meta.dir, "..");
const src = join(root, "src");
const WORKER_URL = /new URL\(\s*"(\.{1,2}\/[^"]+\.worker)\.ts",\s*import\.meta\.url\s*\)/g;

/** In the executable every entry point stands under `/$bunfs/root/`, at its path below `src/`, with the ending `.js`. */
const workerUrls: BunPlugin = {
  name: "worker-urls",
  setup(build) {
    build.onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => {
      const text = await Bun.file(path).text();
      const contents = text.replaceAll(WORKER_URL, (_, target: string) =>
        JSON.stringify(`/$bunfs/root/${relative(src, join(dirname(path), target))}.js`),
      );
      return { contents, loader: "ts" };
    });
  },
};

/** Links the executable into `outfile` (absolute path), replacing it in one rename so that running ones are left alone. */
export async function buildExecutable(outfile: string): Promise<void> {
  const workers = [...new Bun.Glob("**/*.worker.ts").scanSync(src)].map((file) => join(src, file)).sort();
  const info = { version: packageJson.version, commit: await commitOf(root), time: new Date().toISOString() };
  await mkdir(dirname(outfile), { recursive: true });
  const [fresh, whole] = [`${outfile}.${process.pid}.linked`, `${outfile}.${process.pid}`];
  try {
    await Bun.build({
      entrypoints: [join(src, "main.ts"), ...workers],
      root: src,
      target: "bun",
      format: "esm",
      minify: true,
      bytecode: process.env["LIGHTER_BUILD_BYTECODE"] !== "0",
      splitting: process.env["LIGHTER_BUILD_SPLITTING"] !== "0",
      define: { LIGHTER_BUILD: JSON.stringify(info) },
      plugins: [workerUrls],
      compile: {
        outfile: fresh,
        // Most commands end before compiled code pays; what stays in the foreground sets it back to 1 (src/main.ts).
        jitPolicy: 8,
        autoloadDotenv: false,
        autoloadBunfig: false,
        autoloadTsconfig: false,
        autoloadPackageJson: false,
      },
    });
    // Bun writes in small pieces, and the page cache keeps them so; in large ones each start of the program is a millisecond quicker (docs/decisions/0045).
    await writeFile(whole, await readFile(fresh), { mode: 0o755 });
    await rename(whole, outfile);
  } finally {
    for (const path of [fresh, whole]) await rm(path, { force: true });
  }
}

/** Makes `dist/docker`, by which the launcher passes the name it was called by. */
async function linkDocker(folder: string): Promise<void> {
  await rm(join(folder, "docker"), { force: true });
  await symlink("lighter", join(folder, "docker"));
}

if (import.meta.main) {
  const outfile = resolve(process.argv[2] ?? join(root, "dist/lighter"));
  await buildExecutable(outfile);
  if (process.argv[2] === undefined) await linkDocker(dirname(outfile));
}
