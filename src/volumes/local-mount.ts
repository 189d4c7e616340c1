import { lookup } from "node:dns/promises";
import { readFileSync, realpathSync } from "node:fs";
import { isIP } from "node:net";
import { basename, dirname, join } from "node:path";
import { kindOf, LighterError } from "../base/errors.ts";
import { type Ended, runBounded } from "../linux/run-bounded.ts";
import { mountText } from "./mount-text.ts";

/** How long a mount may take, in milliseconds: a server that is gone never answers. */
const PATIENCE = 60_000;
/** How long a mounted file system may take to answer, in milliseconds. */
const ANSWER = 10_000;
/** How often it is seen whether an unmount has taken the name away, in milliseconds. */
const GLANCE = 50;
const NETWORK = /^(?:nfs4?|cifs|smb3|ceph|9p|glusterfs)$/;

interface Cancellable {
  signal?: AbortSignal;
}

/** Whether something is mounted on a directory. */
export function isMounted(path: string): boolean {
  const name = realName(path);
  if (name === undefined) return false;
  const target = name.replace(/[\\ \t\n]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[4] === target);
}

/** What the kernel calls a directory, whose parents may be links; itself it is not looked at, as a dead server would have that wait. */
function realName(path: string): string | undefined {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch (error) {
    if (kindOf(error) === "not-found") return undefined;
    throw error;
  }
}

/**
 * Mounts what a volume's driver options name on its directory (`type`, `device`, `o` as mount takes them), in a child that can be killed when it hangs.
 * Throws `unavailable` with Docker's text and the kernel's word, or when nothing answers.
 */
export async function mountVolume(path: string, options: Readonly<Record<string, string>>, { signal }: Cancellable = {}): Promise<void> {
  const { type = "none", device = "", o = "" } = options;
  const failed = (why: string): string =>
    `error while mounting volume '${path}': failed to mount local volume: ${mountText(device, path, o)}: ${why}`;
  if (signal?.aborted === true) throw new LighterError("cancelled", failed("cancelled"));
  const flags = await withAddress(type, o, path, { ...(signal && { signal }) });
  // -i: the kernel's mount alone, as Docker's; helpers of file systems are not asked. By mount(2), whose errors are the same on every Debian: fsconfig(2) has words of its own.
  const command = [
    "env",
    "LIBMOUNT_FORCE_MOUNT2=always",
    "mount",
    "-i",
    "-t",
    type,
    ...(flags === "" ? [] : ["-o", flags]),
    "--",
    device,
    path,
  ];
  const ended = await runBounded(command, { patience: PATIENCE, ...(signal && { signal }) });
  if (ended.kind === "done") return;
  if (ended.kind === "cancelled") throw new LighterError("cancelled", failed("cancelled"));
  if (ended.kind === "late")
    throw new LighterError("unavailable", failed(`no answer within ${PATIENCE / 1000} seconds${advice(type, flags)}`));
  throw new LighterError("unavailable", failed(kernelWord(ended.why)));
}

function advice(type: string, flags: string): string {
  if (!NETWORK.test(type)) return "";
  const server = /(?:^|,)addr=([^,]+)/.exec(flags)?.[1];
  return `: see whether ${server === undefined ? "the server" : `"${server}"`} is up, exports this to here, and whether a firewall is between`;
}

/** Sees to it that what is mounted there answers: a server may have gone since. Throws `unavailable`. */
export async function checkAnswers(
  name: string,
  path: string,
  { type = "", device = "" }: Readonly<Record<string, string>>,
  { signal }: Cancellable = {},
): Promise<void> {
  if (!NETWORK.test(type)) return;
  const ended = await runBounded(["stat", "-f", "--", path], { patience: ANSWER, ...(signal && { signal }) });
  if (ended.kind === "done") return;
  if (ended.kind === "cancelled") throw new LighterError("cancelled", `Cannot use volume "${name}": cancelled`);
  const why = ended.kind === "failed" ? ended.why.replace(/^stat: /, "") : `no answer within ${ANSWER / 1000} seconds`;
  throw new LighterError(
    "unavailable",
    `Cannot use volume "${name}": ${device}: ${why}: bring its server back, or unmount it by "umount -l ${path}" and start again`,
  );
}

/**
 * Unmounts a volume's directory; lazily when it is busy. Of a dead server's the kernel takes the name away at once and says goodbye for minutes after:
 * nobody waits for that.
 */
export async function unmountVolume(name: string, path: string, { o = "" }: Readonly<Record<string, string>>): Promise<void> {
  if (!isMounted(path)) return;
  // What is mounted below a bind may be what is mounted below its source, also by the host later on: alone it may go, and that is to stay.
  const alone = o.split(",").some((word) => /^r?bind$/.test(word.trim()))
    ? await runBounded(["mount", "--make-rprivate", "--", path], { patience: ANSWER })
    : undefined;
  if (alone === undefined || alone.kind === "done") {
    const ended = runBounded(["umount", "-i", "-c", "-l", "--", path], { patience: ANSWER });
    await Promise.race([ended, nameGone(path, ended)]);
    if (!isMounted(path)) return;
    throw notUnmounted(name, await ended);
  }
  throw notUnmounted(name, alone);
}

function notUnmounted(name: string, ended: Ended): LighterError {
  const why = ended.kind === "failed" ? ended.why.replace(/^u?mount: /, "") : `no answer within ${ANSWER / 1000} seconds`;
  return new LighterError("unavailable", `Cannot unmount volume "${name}": ${why}`);
}

/** Resolves when nothing is mounted there any more, or the program that unmounts it has ended. */
async function nameGone(path: string, program: Promise<Ended>): Promise<void> {
  let over = false;
  const end = (): void => void (over = true);
  program.then(end, end);
  do await Bun.sleep(GLANCE);
  while (!over && isMounted(path));
}

/** What mount(8) says, in the kernel's words, which clients know: errno(3). */
function kernelWord(text: string): string {
  const why = text.replace(/^mount: /, "").replace(/\n\s*dmesg\(1\).*$/s, "");
  const [, kind] = /unknown filesystem type '(.*)'/.exec(why) ?? [];
  if (kind !== undefined) return `no such device: this kernel has no file system "${kind}"`;
  if (/special device .* does not exist/.test(why)) return "no such file or directory";
  // It tries again to read only, where it may not write.
  if (/cannot mount .* read-only/.test(why)) return "permission denied: does the server export this to here?";
  if (/wrong fs type, bad option/.test(why)) return "invalid argument";
  return why;
}

/** The kernel knows network file systems by address only: a name in `addr=` is looked up, IPv4 first, as Docker does. */
async function withAddress(type: string, flags: string, path: string, { signal }: Cancellable): Promise<string> {
  const host = NETWORK.test(type) ? /(?:^|,)addr=([^,]+)/.exec(flags)?.[1] : undefined;
  if (host === undefined || isIP(host) !== 0) return flags;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("no answer from the name servers")), ANSWER);
  const cancel = (): void => late.reject(new Error("cancelled"));
  signal?.addEventListener("abort", cancel);
  try {
    const { address } = await Promise.race([lookup(host, { order: "ipv4first" }), late.promise]);
    return flags.replace(/(^|,)addr=[^,]+/, `$1addr=${address}`);
  } catch (cause) {
    throw new LighterError(
      "invalid",
      `error while mounting volume '${path}': error resolving passed in network volume address: lookup ${host}: ${(cause as Error).message}`,
      { cause },
    );
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", cancel);
  }
}
