import { constants } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { isTerminal } from "./is-terminal.ts";
import { LighterError } from "../base/errors.ts";
import { write } from "./output.ts";

/**
 * Writes the body of an answer to a file, which appears only when it is whole, or to standard output when `path` is empty.
 * Throws `invalid` where standard output is a terminal, or the file cannot be made.
 */
export async function saveStream(path: string, verb: string, request: () => Promise<Response>): Promise<void> {
  if (path === "") {
    if (isTerminal(1)) throw new LighterError("invalid", `cowardly refusing to save to a terminal. Use the -o flag or redirect`);
    const { body } = await request();
    if (body) for await (const bytes of body) await write(1, bytes);
    return;
  }
  await checkTarget(path, verb);
  const { body } = await request();
  const special = await stat(path).then(
    (info) => !info.isFile(),
    () => false,
  );
  // A device or a pipe is written to as it is, a file by rename.
  const draft = special ? path : `${path}.${process.pid}.tmp`;
  const file = await open(draft, special ? constants.O_WRONLY : "w", 0o600);
  try {
    if (body) for await (const bytes of body) await write(file.fd, bytes);
    if (!special) await rename(draft, path);
  } catch (error) {
    if (!special) await rm(draft, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

async function checkTarget(path: string, verb: string): Promise<void> {
  const what = verb === "export" ? "failed to export container" : "failed to save image";
  const folder = dirname(path);
  const above = await stat(folder).catch((error: unknown) => {
    throw new LighterError("invalid", `${what}: invalid output path: stat ${folder}: no such file or directory`, { cause: error });
  });
  if (!above.isDirectory()) throw new LighterError("invalid", `${what}: invalid output path: ${folder} is not a directory`);
  if ((await stat(path).catch(() => undefined))?.isDirectory()) throw new LighterError("invalid", `${what}: cannot write to a directory`);
}
