import { topContainer } from "../client/containers.ts";
import { command, MANY } from "./command.ts";
import { table } from "./format.ts";

const MIN_WIDTH = 20;

/** `top`: shows the processes of a container. */
export const top = command({
  usage: "CONTAINER [ps OPTIONS]",
  args: [1, MANY],
  stopAtWord: true,
  flags: {},
  async run({ args, app }) {
    const [name = "", ...psArgs] = args;
    const { Titles = [], Processes = [] } = await topContainer(await app.connection(), name, psArgs.join(" "));
    app.out(table([Titles ?? [], ...(Processes ?? [])], MIN_WIDTH));
  },
});
