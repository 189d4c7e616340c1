import { containerChanges } from "../client/containers.ts";
import { command } from "./command.ts";

/** Letters for the kinds of change: changed, added, deleted. */
const LETTERS = ["C", "A", "D"];

/** `diff`: shows what changed in a container's file system. */
export const diff = command({
  usage: "CONTAINER",
  args: 1,
  flags: {},
  async run({ args, app }) {
    const changes = (await containerChanges(await app.connection(), args[0] ?? "")) ?? [];
    app.out(changes.map(({ Kind, Path }) => `${LETTERS[Kind] ?? "?"} ${Path}\n`).join(""));
  },
});
