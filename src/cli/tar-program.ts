import { basename, dirname } from "node:path";
import { LighterError } from "../base/errors.ts";

/** File capabilities travel with the files. */
const XATTRS = ["--xattrs", "--xattrs-include=security.capability"];

/** The first component of every member's name becomes `name`; targets of symbolic links stay as they are. */
function renaming(name: string): string {
  const escaped = name.replace(/[\\&,\n]/g, (char) => (char === "\n" ? "\\n" : `\\${char}`));
  return `--transform=s,^[^/]*,${escaped},S`;
}

/** Packs a path of this machine, under `name`, as a tar stream. `finished` is the number of bytes that went through. */
export function packTar(path: string, name: string): { stream: ReadableStream<Uint8Array>; finished: Promise<number> } {
  const member = basename(path) || ".";
  const words = [
    "tar",
    "--create",
    "--file=-",
    "--format=posix",
    ...XATTRS,
    "--warning=no-file-ignored",
    "--numeric-owner",
    renaming(name),
    "--directory",
    dirname(path),
    "--",
    member,
  ];
  const child = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  let size = 0;
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(bytes, controller) {
      size += bytes.length;
      controller.enqueue(bytes);
    },
  });
  const finished = child.exited.then((code) => {
    if (code > 1) throw new LighterError("internal", `Cannot pack "${path}": tar ended with code ${code}`);
    return size;
  });
  finished.catch(() => {});
  return { stream: child.stdout.pipeThrough(counter), finished };
}

/** Unpacks a tar stream into a folder, its first component renamed to `name`. Returns the number of bytes that went through. */
export async function unpackTar(body: ReadableStream<Uint8Array>, folder: string, name: string, owners: boolean): Promise<number> {
  const owner = owners ? ["--same-owner", "--numeric-owner"] : ["--no-same-owner"];
  const words = ["tar", "--extract", "--file=-", "--same-permissions", ...XATTRS, ...owner, renaming(name), "--directory", folder];
  const child = Bun.spawn(words, { stdin: "pipe", stdout: "ignore", stderr: "inherit" });
  let size = 0;
  for await (const bytes of body) {
    size += bytes.length;
    void child.stdin.write(bytes);
    await child.stdin.flush();
  }
  await child.stdin.end();
  const code = await child.exited;
  if (code !== 0) throw new LighterError("internal", `Cannot unpack into "${folder}": tar ended with code ${code}`);
  return size;
}
