import { mkdir, open, readFile, realpath, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { LighterError, messageOf } from "../base/errors.ts";

/**
 * Changes keys of a daemon.json in place: the others stay as they are, and a crash leaves the old file or the new one. A file that is missing is made.
 * Throws `invalid` for one that is no JSON object, and what the file system says.
 * @param change gets the file's object and changes it
 */
export async function editConfigFile(path: string, change: (json: Record<string, unknown>) => void): Promise<void> {
  // What a link points at is changed, not the link.
  const target = await realpath(path).catch(() => path);
  const text = await readFile(target, "utf8").catch((error: unknown) => {
    if ((error as { code?: unknown }).code === "ENOENT") return "";
    throw new LighterError("invalid", `Cannot read the configuration file "${path}": ${messageOf(error)}`, { cause: error });
  });
  const json = parse(text, path);
  change(json);
  await mkdir(dirname(target), { recursive: true });
  const mode = await stat(target).then(
    ({ mode: bits }) => bits & 0o7777,
    () => 0o644,
  );
  const fresh = `${target}.new`;
  const file = await open(fresh, "w", mode);
  try {
    await file.chmod(mode);
    await file.writeFile(`${JSON.stringify(json, null, indentOf(text))}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, target);
  const folder = await open(dirname(target), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function parse(text: string, path: string): Record<string, unknown> {
  if (text.trim() === "") return {};
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new LighterError("invalid", `Cannot change the configuration file "${path}": ${messageOf(cause)}`, { cause });
  }
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  throw new LighterError("invalid", `Cannot change the configuration file "${path}": it is not a JSON object`);
}

/** As the file has it; two blanks where it tells nothing. */
function indentOf(text: string): string {
  return /\n([ \t]+)"/.exec(text)?.[1] ?? "  ";
}
