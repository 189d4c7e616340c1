import { command } from "./command.ts";
import { contextName } from "./connect.ts";

/** `context show`: prints the name of the context in use. */
export const contextShow = command({
  usage: "",
  args: 0,
  flags: {},
  async run({ app }) {
    app.out(`${contextName(app)}\n`);
    return Promise.resolve(0);
  },
});
