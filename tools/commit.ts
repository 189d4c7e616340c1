import { join } from "node:path";

/** The commit that the clone at `root` stands on, read from the files of `.git` (a fresh machine has no git); `unknown` without one. */
export async function commitOf(root: string): Promise<string> {
  const read = async (path: string): Promise<string> =>
    Bun.file(join(root, ".git", path))
      .text()
      .catch(() => "");
  const head = (await read("HEAD")).trim();
  if (!head.startsWith("ref: ")) return head === "" ? "unknown" : head;
  const ref = head.slice("ref: ".length);
  const loose = (await read(ref)).trim();
  if (loose !== "") return loose;
  const packed = (await read("packed-refs")).split("\n").find((line) => line.endsWith(` ${ref}`));
  return packed?.split(" ")[0] ?? "unknown";
}
