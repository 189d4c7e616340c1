import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";

/** How long a mount may take before its program is killed, in milliseconds: a dead NFS server answers never. */
const TIMEOUT = 60_000;

/** Whether something is mounted on a directory. */
export function isMounted(path: string): boolean {
  const target = path.replace(/[\\ \t\n]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[4] === target);
}

/**
 * Mounts what a volume's driver options name on its directory (`type`, `device`, `o` as mount takes them), in a child that can be killed when it hangs.
 * Throws `invalid` with the kernel's word.
 */
export async function mountVolume(name: string, path: string, options: Readonly<Record<string, string>>): Promise<void> {
  const { type = "none", device = "", o = "" } = options;
  const flags = await withAddress(type, o);
  // -i: the kernel's mount alone, as Docker's; helpers of file systems are not asked.
  const command = ["mount", "-i", "-t", type, ...(flags === "" ? [] : ["-o", flags]), "--", device, path];
  await run(command, (why) => `Cannot mount volume "${name}": mount ${device}:${path}, data: ${flags}: ${why}`);
}

/** Unmounts a volume's directory; lazily when it is busy. */
export async function unmountVolume(name: string, path: string): Promise<void> {
  if (!isMounted(path)) return;
  await run(["umount", "-i", "-l", "--", path], (why) => `Cannot unmount volume "${name}": ${why}`);
}

async function run(command: string[], sentence: (why: string) => string): Promise<void> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe", timeout: TIMEOUT, killSignal: "SIGKILL" });
  const text = await new Response(child.stderr).text();
  if ((await child.exited) === 0) return;
  const why = child.signalCode === "SIGKILL" ? `no answer within ${TIMEOUT / 1000} seconds` : text.trim().replace(/^u?mount: /, "");
  throw new LighterError("invalid", sentence(why));
}

/** The kernel knows network file systems by address only: a name in `addr=` is looked up. */
async function withAddress(type: string, flags: string): Promise<string> {
  const host = /^(?:nfs4?|cifs|smb3)$/.test(type) ? /(?:^|,)addr=([^,]+)/.exec(flags)?.[1] : undefined;
  if (host === undefined || /^[\d.]+$|:/.test(host)) return flags;
  const { address } = await lookup(host).catch((cause: unknown) => {
    throw new LighterError("invalid", `error resolving passed in network volume address: lookup ${host}: ${(cause as Error).message}`, {
      cause,
    });
  });
  return flags.replace(/(^|,)addr=[^,]+/, `$1addr=${address}`);
}
