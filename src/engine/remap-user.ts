import { LighterError } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { type Accounts, findAccount, subordinateRanges } from "./user-maps.ts";

/** Docker's name of the user that `default` means. */
export const REMAP_USER = "dockremap";

const COUNT = 65536;
/** Below are the numbers of real users. */
const FIRST = 100_000;

/** Makes the user of `default` where there is none, and gives it numbers where it has none. Throws `unsupported` naming what is missing. */
export async function makeRemapUser({ passwd, subuid, subgid }: Accounts): Promise<void> {
  if (findAccount(passwd, REMAP_USER) === undefined) {
    await firstOf([
      ["adduser", "--system", "--group", "--no-create-home", "--home", "/nonexistent", "--shell", "/bin/false", REMAP_USER],
      ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", REMAP_USER],
    ]);
    logOf("engine").info("made the user {name} for containers", { name: REMAP_USER });
  }
  for (const [file, option] of [
    [subuid, "--add-subuids"],
    [subgid, "--add-subgids"],
  ] as const) {
    const ranges = subordinateRanges(file);
    if (ranges.some(({ owner }) => owner === REMAP_USER)) continue;
    const first = freeRange(ranges);
    await firstOf([["usermod", option, `${first}-${first + COUNT - 1}`, REMAP_USER]]);
  }
}

/** The first number from which on as many as a container gets are nobody's. */
export function freeRange(ranges: readonly { first: number; count: number }[]): number {
  let candidate = FIRST;
  for (const { first, count } of ranges.toSorted((a, b) => a.first - b.first))
    if (first < candidate + COUNT && first + count > candidate) candidate = first + count;
  return candidate;
}

/** Runs the first of these programs that is installed. */
async function firstOf(commands: readonly (readonly [string, ...string[]])[]): Promise<void> {
  const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const [program, ...args] of commands) {
    const path = Bun.which(program, { PATH });
    if (path === null) continue;
    const child = Bun.spawn([path, ...args], { stdin: "ignore", stdout: "ignore", stderr: "pipe", env: { PATH } });
    const [code, said] = await Promise.all([child.exited, new Response(child.stderr).text()]);
    if (code === 0) return;
    throw refused(`${program} failed: ${said.trim().split("\n").at(-1) ?? ""}`);
  }
  throw refused(
    `${commands.map(([program]) => program).join(" and ")} ${commands.length > 1 ? "are" : "is"} not installed: ` +
      `make the user ${REMAP_USER} yourself, with lines in /etc/subuid and /etc/subgid`,
  );
}

function refused(why: string): LighterError {
  return new LighterError("unsupported", `Cannot use "userns-remap": "default": ${why}`);
}
