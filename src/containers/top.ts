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
  if (psArguments.includes("\0")) throw new LighterError("invalid", "Cannot list processes: ps_args holds a byte of value 0");
  const args = psArguments === "" ? ["-ef"] : psArguments.split(/\s+/).filter((word) => word !== "");
  if (args.some((word) => /^-?[A-Za-z]*\bpid=.+/.test(word)))
    throw new LighterError("invalid", `specifying "-o pid=" with a title is not supported`);
  const some = await ps([...args, `-q${pids.join(",")}`]);
  const listed = some.text === undefined ? await ps(args) : some;
  if (listed.text === undefined) throw new LighterError("invalid", `ps: ${listed.complaint}`);
  tellAlone(context, row, "top");
  return parsePs(listed.text, new Set(pids));
}

/** What `ps` lists, or the first line of what it says against its arguments. */
async function ps(args: string[]): Promise<{ text: string; complaint?: never } | { text: undefined; complaint: string }> {
  const child = Bun.spawn(["ps", ...args], { stdout: "pipe", stderr: "pipe", stdin: "ignore" });
  const [text, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) === 0 && text !== "") return { text };
  return { text: undefined, complaint: errors.trimStart().split("\n", 1)[0] || `ps ${args.join(" ")} failed` };
}

/** Headings of the columns that may hold spaces. */
const WIDE = new Set(["CMD", "COMMAND", "ARGS"]);

/** Takes `ps`'s table apart; only rows of the given pids stay. The command may hold spaces, or the last column where it is not shown. */
export function parsePs(text: string, pids: ReadonlySet<number>): { Titles: string[]; Processes: string[][] } {
  const [header = "", ...lines] = text.split("\n");
  const titles = header.split(/\s+/).filter((word) => word !== "");
  const column = titles.findIndex((title) => title === "PID");
  if (column < 0) throw new LighterError("invalid", "Couldn't find PID field in ps output");
  const named = titles.findIndex((title) => WIDE.has(title));
  const wide = named < 0 ? titles.length - 1 : named;
  const rows = lines.flatMap((line) => {
    const words = line.split(/\s+/).filter((word) => word !== "");
    const end = words.length - (titles.length - 1 - wide);
    const row = [...words.slice(0, wide), words.slice(wide, end).join(" "), ...words.slice(end)];
    return pids.has(Number(row[column])) ? [row] : [];
  });
  return { Titles: titles, Processes: rows };
}
