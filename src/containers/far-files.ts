import { readFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { runBounded } from "../linux/run-bounded.ts";

const NETWORK = /^(?:nfs4?|cifs|smb3|ceph|9p|fuse(?:\..+)?)$/;
/** How long files of another machine may take to answer, in milliseconds. */
const PATIENCE = 10_000;

/** Whether a path lies on files of another machine, as far as its name tells: every call on those can hang. */
export function isFar(path: string, mountinfo = readFileSync("/proc/self/mountinfo", "utf8")): boolean {
  let best = { length: 0, far: false };
  for (const line of mountinfo.split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const field = left.split(" ")[4];
    if (field === undefined) continue;
    const point = field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
    const covers = point === "/" || path === point || path.startsWith(`${point}/`);
    if (covers && point.length >= best.length) best = { length: point.length, far: NETWORK.test(right.split(" ")[0] ?? "") };
  }
  return best.far;
}

/** Sees to it that a path on another machine's files answers, before anything asks for it that cannot be given up. Throws `unavailable`. */
export async function checkFar(path: string, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
  if (!isFar(path)) return;
  const ended = await runBounded(["stat", "-f", "--", path], { patience: PATIENCE, ...(signal && { signal }) });
  if (ended.kind === "cancelled") throw new LighterError("cancelled", `Cannot mount "${path}": cancelled`);
  // What is not there is told by those who look for it.
  if (ended.kind === "late")
    throw new LighterError(
      "unavailable",
      `Cannot mount "${path}": its server does not answer within ${PATIENCE / 1000} seconds: bring it back, or unmount it by "umount -l"`,
    );
}
