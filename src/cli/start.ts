import { LighterError, messageOf } from "../base/errors.ts";
import { attachContainer, inspectContainer, killContainer, resizeContainer, startContainer, waitContainer } from "../client/containers.ts";
import { command, MANY, type Call } from "./command.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "./detach-keys.ts";
import { bool, string } from "./flags.ts";
import { exitCode } from "./run.ts";
import { startFailureCode } from "./run-failure.ts";
import { streamSession } from "./stream.ts";
import { proxySignals } from "./signals.ts";
import { followSize } from "./terminal.ts";

const flags = {
  attach: bool("Show its output and pass signals on", "a"),
  checkpoint: string("Go on from this checkpoint"),
  "checkpoint-dir": string("Folder of the checkpoints"),
  "detach-keys": string("Keys that leave the container"),
  interactive: bool("Connect standard input", "i"),
};

/** `start`: starts containers that do not run. */
export const start = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  args: [1, MANY],
  flags,
  async run(call) {
    const { flags, args, app } = call;
    if (flags.attach || flags.interactive) {
      if (args.length > 1) throw new LighterError("invalid", "you cannot start and attach multiple containers at once");
      return startAttached(call);
    }
    const connection = await app.connection();
    const failed: string[] = [];
    for (const name of args) {
      try {
        await startContainer(connection, name, { checkpoint: flags.checkpoint, checkpointDir: flags["checkpoint-dir"] });
        app.out(`${name}\n`);
      } catch (error) {
        app.err(`${messageOf(error)}\n`);
        failed.push(name);
      }
    }
    if (failed.length > 0) throw new LighterError("invalid", `Error: failed to start containers: ${failed.join(", ")}`);
    return 0;
  },
});

type StartCall = Call<typeof flags>;

async function startAttached({ flags, args, app }: StartCall): Promise<number> {
  const connection = await app.connection();
  const container = await inspectContainer(connection, args[0] ?? "");
  const { Id: id = "", Config, HostConfig } = container;
  const tty = Config?.Tty ?? false;
  const keys = flags["detach-keys"] || app.config.detachKeys || DEFAULT_DETACH_KEYS;
  const stdin = flags.interactive && (Config?.OpenStdin ?? false);
  const endProxy = tty ? () => {} : proxySignals((signal) => killContainer(connection, id, signal));
  const [stream, waiting] = await Promise.all([
    attachContainer(connection, id, { stdin, stdout: true, stderr: true, detachKeys: flags["detach-keys"] }),
    waitContainer(connection, id, HostConfig?.AutoRemove ? "removed" : "next-exit"),
  ]);
  const session = streamSession(stream, { tty, stdin, detachKeys: parseDetachKeys(keys) });
  session.catch(() => {});
  try {
    await startContainer(connection, id, { checkpoint: flags.checkpoint, checkpointDir: flags["checkpoint-dir"] });
  } catch (error) {
    stream.close();
    await session.catch(() => {});
    app.err(`${messageOf(error)}\n`);
    return startFailureCode(error) === 125 ? 1 : startFailureCode(error);
  }
  const endResize = tty ? followSize((size) => resizeContainer(connection, id, size)) : () => {};
  if ((await session) === "detached") return 0;
  endResize();
  endProxy();
  return exitCode(app, waiting);
}
