import { chmod, copyFile, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { LighterError, messageOf } from "../base/errors.ts";
import { importImage, inspectImage } from "../client/images.ts";
import type { Connection } from "../client/connection.ts";
import type { App } from "./app.ts";
import { packTar } from "./tar-program.ts";

/** The image of tools that is made here; its tag is the digest of the busybox in it. */
const REPOSITORY = "lighter/toolbox";
/** Where no static busybox is at hand: an image of that name from a registry. */
const PULLED = "busybox:latest";
/** Program header type of what a dynamic program asks to be loaded by. https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html */
const PT_INTERP = 3;

/** The name of an image with a shell and tools, at the daemon: made of this machine's static busybox, or pulled. Throws `not-found` saying what would help. */
export async function toolboxImage(app: App): Promise<string> {
  const connection = await app.connection();
  const program = await staticBusybox();
  if (program === undefined) return pulledToolbox(app, connection);
  const bytes = await Bun.file(program).bytes();
  const tag = new Bun.CryptoHasher("sha256").update(bytes).digest("hex").slice(0, 12);
  const name = `${REPOSITORY}:${tag}`;
  if (await isThere(connection, name)) return name;
  app.err(`Making the image of tools "${name}" of ${program}\n`);
  const folder = await mkdtemp(join(tmpdir(), "lighter-toolbox-"));
  try {
    await layOut(program, join(folder, "root"));
    const packed = packTar(join(folder, "root"), ".");
    const changes = ['CMD ["sh"]', "ENV PATH=/bin", "LABEL org.opencontainers.image.title=toolbox"];
    const answer = await importImage(
      connection,
      { source: "-", repo: REPOSITORY, tag, message: `made of ${program}`, changes },
      packed.stream,
    );
    await packed.finished;
    const told = await answer.text();
    if (told.includes('"error"')) throw new LighterError("internal", `Cannot make the image of tools: ${told.trim()}`);
    return name;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function pulledToolbox(app: App, connection: Connection): Promise<string> {
  if (await isThere(connection, PULLED)) return PULLED;
  app.err(`There is no static busybox on this machine: pulling "${PULLED}"\n`);
  try {
    const { parseReference } = await import("../base/reference.ts");
    const { pullReference } = await import("./pull-image.ts");
    await pullReference(app, parseReference(PULLED), { platform: "", output: undefined });
    return PULLED;
  } catch (cause) {
    throw new LighterError(
      "not-found",
      `Cannot debug: there is no image of tools (${messageOf(cause)}). Install the package busybox-static on this machine, or name an image by --image`,
      { cause },
    );
  }
}

async function isThere(connection: Connection, name: string): Promise<boolean> {
  return inspectImage(connection, name).then(
    () => true,
    () => false,
  );
}

/** A busybox that needs no libraries; undefined where the PATH has none. */
async function staticBusybox(): Promise<string | undefined> {
  for (const name of ["busybox", "busybox-static", "busybox.static"]) {
    const path = Bun.which(name, { PATH: `${process.env["PATH"] ?? ""}:/bin:/usr/bin` });
    if (path !== null && (await isStatic(path))) return path;
  }
  return undefined;
}

/** Whether a 64-bit ELF program names no loader. */
async function isStatic(path: string): Promise<boolean> {
  const bytes = await Bun.file(path).slice(0, 4096).bytes();
  if (Buffer.from(bytes.subarray(0, 5)).toString("latin1") !== "\x7fELF\x02") return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [start, size, count] = [Number(view.getBigUint64(32, true)), view.getUint16(54, true), view.getUint16(56, true)];
  for (let at = start, left = count; left > 0 && at + 4 <= bytes.length; at += size, left--)
    if (view.getUint32(at, true) === PT_INTERP) return false;
  return true;
}

/** A root with busybox and a name for each of its tools. */
async function layOut(program: string, root: string): Promise<void> {
  for (const folder of ["bin", "etc", "root", "tmp", "target"]) await mkdir(join(root, folder), { recursive: true });
  await chmod(join(root, "tmp"), 0o1777);
  await copyFile(program, join(root, "bin/busybox"));
  await chmod(join(root, "bin/busybox"), 0o755);
  const listed = await Bun.$`${program} --list`.quiet().text();
  for (const tool of new Set(listed.split("\n").map((line) => basename(line.trim()))))
    if (tool !== "" && tool !== "busybox") await symlink("busybox", join(root, "bin", tool));
  await Bun.write(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  await Bun.write(join(root, "etc/group"), "root:x:0:\n");
}
