import { basename, dirname } from "node:path";
import { LighterError } from "../base/errors.ts";

/** File capabilities travel with the files. */
const XATTRS = ["--xattrs", "--xattrs-include=security.capability"];

/** The first component of every member's name becomes `name`; targets of symbolic links stay as they are. */
function renaming(name: string): string {
  const escaped = name.replace(/[\\&,\n]/g, (char) => (char === "\n" ? "\\n" : `\\${char}`));
  return `--transform=s,^[^/]*,${escaped},S`;
}

/** A path being packed. */
export interface Packing {
  stream: ReadableStream<Uint8Array>;
  /** The number of bytes that went through. */
  finished: Promise<number>;
  /** What tar had to say, but for its own reader's having gone. */
  complaints: Promise<string>;
  /** Ends it. */
  stop(): void;
}

/** What tar says when nobody reads its archive any more. */
const READER_GONE = /^.*tar: (-: (Cannot write|Wrote only) .*|Error is not recoverable: exiting now)\n/gm;

/** Packs a path of this machine, under `name`, as a tar stream. */
export function packTar(path: string, name: string): Packing {
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
  const child = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const complaints = child.stderr.text().then((text) => text.replace(READER_GONE, ""));
  complaints.catch(() => {});
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
  return { stream: child.stdout.pipeThrough(counter), finished, complaints, stop: () => child.kill() };
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
