import { clearLogs, containerLogs, inspectContainer } from "../client/containers.ts";
import { command } from "./command.ts";
import { bool, string } from "./flags.ts";
import { outputTaker } from "./stream.ts";
import { timestampOf } from "./timestamp.ts";

/** `logs`: shows what a container has written. */
export const logs = command({
  usage: "[OPTIONS] CONTAINER",
  args: 1,
  flags: {
    clear: bool("Throw away what is stored, and show nothing"),
    details: bool("Show the attributes that the log carries, too"),
    follow: bool("Go on showing what it writes", "f"),
    since: string("Show what was written since a time or for a span (2026-01-02T13:23:37Z, 42m)"),
    tail: string("Show the last N lines", { short: "n", initial: "all", shown: '"all"' }),
    timestamps: bool("Show when each line was written", "t"),
    until: string("Show what was written before a time or a span ago (2026-01-02T13:23:37Z, 42m)"),
  },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    if (flags.clear) return await clearLogs(connection, args[0] ?? "");
    const { Id = "", Config } = await inspectContainer(connection, args[0] ?? "");
    const { details, follow, tail, timestamps } = flags;
    const now = new Date();
    const options = {
      details,
      follow,
      tail,
      timestamps,
      since: timestampOf("since", flags.since, now),
      until: timestampOf("until", flags.until, now),
    };
    const answer = await containerLogs(connection, Id, { ...options, stdout: true, stderr: true });
    if (!answer.body) return;
    const take = outputTaker(Config?.Tty ?? false, { waits: false });
    for await (const bytes of answer.body) await take(bytes);
  },
});
