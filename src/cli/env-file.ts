import { LighterError } from "../base/errors.ts";
import { node } from "./node.ts";

/**
 * Reads `KEY=VALUE` lines: comments and empty lines are left out, white space before a key too, a key alone takes its
 * value from `lookup` and is left out when that has none. Throws `invalid` when the file cannot be read or a key is wrong.
 */
export function readKeyValueFile(path: string, lookup: (key: string) => string | undefined): string[] {
  const found: string[] = [];
  for (const raw of readText(path)
    .replace(/^\uFEFF/, "")
    .split("\n")) {
    const line = raw.replace(/\r$/, "").trimStart();
    if (line === "" || line.startsWith("#")) continue;
    const at = line.indexOf("=");
    const key = at < 0 ? line.trim() : line.slice(0, at);
    if (/\s/.test(key)) throw new LighterError("invalid", `invalid env file (${path}): variable '${key}' contains whitespaces`);
    if (key === "") throw new LighterError("invalid", `invalid env file (${path}): no variable name on line '${line}'`);
    if (at >= 0) found.push(`${key}=${line.slice(at + 1)}`);
    else {
      const value = lookup(key);
      if (value !== undefined) found.push(`${key}=${value}`);
    }
  }
  return found;
}

function readText(path: string): string {
  try {
    return node.fs.readFileSync(path, "utf8");
  } catch (error) {
    const reason = (error as { code?: string }).code === "ENOENT" ? "no such file or directory" : String((error as Error).message);
    throw new LighterError("invalid", `open ${path}: ${reason}`, { cause: error });
  }
}
