import { LighterError } from "../base/errors.ts";
import type { CreateBody } from "../client/containers.ts";
import { command, MANY } from "./command.ts";
import { CONTAINER_FLAGS } from "./container-flags.ts";
import { createBody, windowsOnly } from "./create-body.ts";
import { checkPullPolicy, createWithPull } from "./create-container.ts";
import { proxyVariables } from "./proxies.ts";
import { runFailure } from "./run-failure.ts";
import { terminalSize } from "./terminal.ts";

/** `create`: makes a container without starting it. */
export const create = command({
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  args: [1, MANY],
  flags: CONTAINER_FLAGS,
  stopAtWord: true,
  async run({ flags, given, args, app, called }) {
    const asked = (name: string): boolean => given(name as keyof typeof flags);
    const windows = windowsOnly(asked);
    if (windows.length > 0) throw new LighterError("invalid", windows.join("\n"));
    const [image = "", ...words] = args;
    let body: CreateBody;
    try {
      checkPullPolicy(flags.pull);
      body = createBody(flags, image, words, { given: asked, env: process.env, proxies: proxyVariables(app) });
    } catch (error) {
      return runFailure(app, called, error);
    }
    const size = flags.tty ? terminalSize() : undefined;
    if (size) body.HostConfig = { ...body.HostConfig, ConsoleSize: [size.height, size.width] };
    app.out(`${await createWithPull(app, body, flags)}\n`);
    return 0;
  },
});
