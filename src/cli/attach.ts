import { LighterError } from "../base/errors.ts";
import { attachContainer, inspectContainer, killContainer, resizeContainer, waitContainer } from "../client/containers.ts";
import { command } from "./command.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "./detach-keys.ts";
import { bool, string } from "./flags.ts";
import { exitCode } from "./run.ts";
import { proxySignals } from "./signals.ts";
import { streamSession } from "./stream.ts";
import { followSize, inputIsTerminal, terminalSize } from "./terminal.ts";

/** `attach`: joins the terminal to a container that runs. */
export const attach = command({
  usage: "[OPTIONS] CONTAINER",
  args: 1,
  flags: {
    "detach-keys": string("Keys that leave the container"),
    "no-stdin": bool("Do not connect standard input"),
    "sig-proxy": bool("Pass signals on to the process", { initial: true, shown: "true" }),
  },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    const { Id: id = "", State, Config } = await inspectContainer(connection, args[0] ?? "");
    if (!State?.Running) throw new LighterError("conflict", "You cannot attach to a stopped container, start it first");
    if (State.Paused) throw new LighterError("conflict", "You cannot attach to a paused container, unpause it first");
    if (State.Restarting) throw new LighterError("conflict", "You cannot attach to a restarting container, wait until it is running");
    const tty = Config?.Tty ?? false;
    const stdin = !flags["no-stdin"] && (Config?.OpenStdin ?? false);
    if (stdin && tty && !inputIsTerminal()) throw new LighterError("invalid", "the input device is not a TTY");
    const keys = parseDetachKeys(flags["detach-keys"] || app.config.detachKeys || DEFAULT_DETACH_KEYS);
    const endProxy = flags["sig-proxy"] && !tty ? proxySignals((signal) => killContainer(connection, id, signal)) : () => {};
    const [stream, waiting] = await Promise.all([
      attachContainer(connection, id, { stdin, stdout: true, stderr: true, detachKeys: flags["detach-keys"] }),
      waitContainer(connection, id),
    ]);
    // A change of size makes full-screen programs draw themselves anew for the newcomer.
    const size = tty ? terminalSize() : undefined;
    if (size) await resizeContainer(connection, id, { height: size.height + 1, width: size.width + 1 }).catch(() => {});
    const endResize = tty ? followSize((to) => resizeContainer(connection, id, to)) : () => {};
    const end = await streamSession(stream, { tty, stdin, detachKeys: keys });
    endResize();
    endProxy();
    if (end === "detached") throw new LighterError("cancelled", "read escape sequence");
    return exitCode(app, waiting);
  },
});
