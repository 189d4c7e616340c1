import { LighterError } from "../base/errors.ts";
import { change, type Context, tellAlone } from "./context.ts";
import { requireRunning } from "./pause.ts";

/** Processes of a container as the host's `ps` shows them with the caller's arguments (`-ef` when there are none). */
export async function topContainer(
  context: Context,
  reference: string,
  psArguments: string,
): Promise<{ Titles: string[]; Processes: string[][] }> {
  const { pids, row } = await change(context, reference, (found, live) => {
    if (found.status !== "paused") requireRunning(found);
    return Promise.resolve({ pids: live.task?.pids() ?? [], row: found });
  });
  const args = psArguments === "" ? ["-ef"] : psArguments.split(/\s+/).filter((word) => word !== "");
  if (args.some((word) => /^-?[A-Za-z]*\bpid=.+/.test(word)))
    throw new LighterError("invalid", `specifying "-o pid=" with a title is not supported`);
  const listed = (await ps([...args, `-q${pids.join(",")}`])) ?? (await ps(args));
  if (listed === undefined) throw new LighterError("invalid", `error running ps: ps ${args.join(" ")} failed`);
  tellAlone(context, row, "top");
  return parsePs(listed, new Set(pids));
}

async function ps(args: string[]): Promise<string | undefined> {
  const child = Bun.spawn(["ps", ...args], { stdout: "pipe", stderr: "ignore", stdin: "ignore" });
  const text = await new Response(child.stdout).text();
  return (await child.exited) === 0 && text !== "" ? text : undefined;
}

/** Takes `ps`'s table apart; only rows of the given pids stay. The last column may hold spaces. */
export function parsePs(text: string, pids: ReadonlySet<number>): { Titles: string[]; Processes: string[][] } {
  const [header = "", ...lines] = text.split("\n");
  const titles = header.split(/\s+/).filter((word) => word !== "");
  const column = titles.findIndex((title) => title === "PID");
  if (column < 0) throw new LighterError("invalid", "Couldn't find PID field in ps output");
  const rows = lines.flatMap((line) => {
    const words = line.split(/\s+/).filter((word) => word !== "");
    if (!pids.has(Number(words[column]))) return [];
    return [[...words.slice(0, titles.length - 1), words.slice(titles.length - 1).join(" ")]];
  });
  return { Titles: titles, Processes: rows };
}
