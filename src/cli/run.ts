import { LighterError, messageOf } from "../base/errors.ts";
import {
  attachContainer,
  killContainer,
  resizeContainer,
  startContainer,
  waitContainer,
  type CreateBody,
  type Waiting,
} from "../client/containers.ts";
import type { Connection } from "../client/connection.ts";
import type { RunEnd } from "../client/run.ts";
import type { Hijacked } from "../client/upgrade.ts";
import { command, MANY, type Call } from "./command.ts";
import { CONTAINER_FLAGS } from "./container-flags.ts";
import { checkPullPolicy, createWithPull } from "./create-container.ts";
import { createBody, windowsOnly } from "./create-body.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "./detach-keys.ts";
import { bool, string } from "./flags.ts";
import { proxyVariables } from "./proxies.ts";
import { canRunAtOnce, runAtOnce } from "./run-at-once.ts";
import { EXIT, runFailure, startFailureCode } from "./run-failure.ts";
import { followSize, inputIsTerminal, terminalSize } from "./terminal.ts";

const flags = {
  ...CONTAINER_FLAGS,
  detach: bool("Leave it running in the background and print its ID", "d"),
  "detach-keys": string("Keys that leave the container"),
  "sig-proxy": bool("Pass signals on to the process", { initial: true, shown: "true" }),
};

type RunCall = Call<typeof flags>;

/** `run`: makes a container, starts it and joins the terminal to it. */
export const run = command({
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  args: [1, MANY],
  flags,
  stopAtWord: true,
  async run(call) {
    const windows = windowsOnly((name) => call.given(name as keyof typeof flags));
    if (windows.length > 0) throw new LighterError("invalid", windows.join("\n"));
    let body: CreateBody;
    try {
      body = requestOf(call);
    } catch (error) {
      return runFailure(call.app, call.called, error);
    }
    if (call.flags.detach && call.flags.attach.length > 0)
      throw new LighterError("invalid", "conflicting options: cannot specify both --attach and --detach");
    if (!call.flags.detach && body.AttachStdin && body.Tty && !inputIsTerminal())
      throw new LighterError("invalid", "the input device is not a TTY");
    return runContainer(call, body);
  },
});

function requestOf({ flags, given, args, app }: RunCall): CreateBody {
  checkPullPolicy(flags.pull);
  const [image = "", ...words] = args;
  const proxies = proxyVariables(app);
  const body = createBody(flags, image, words, { given: (name) => given(name as keyof typeof flags), env: process.env, proxies });
  if (flags.detach) for (const name of ["AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce"] as const) delete body[name];
  const size = flags.tty ? terminalSize() : undefined;
  if (size) body.HostConfig = { ...body.HostConfig, ConsoleSize: [size.height, size.width] };
  return body;
}

async function runContainer(call: RunCall, body: CreateBody): Promise<number> {
  const { flags, app, called } = call;
  if (canRunAtOnce(flags, body)) {
    const code = await atOnce(call, body);
    if (code !== undefined) return code;
  }
  const attaches = body.AttachStdin || body.AttachStdout || body.AttachStderr;
  let id: string;
  try {
    const created = createWithPull(app, body, flags);
    // What comes after is loaded while the daemon makes the container.
    if (attaches)
      void Promise.all([import("./stream.ts"), import("./signals.ts"), import("../client/upgrade.ts"), import("../client/duplex.ts")]);
    id = await created;
  } catch (error) {
    return runFailure(app, called, error);
  }
  const connection = await app.connection();
  if (!attaches) return startDetached(call, connection, id);
  const removed = flags.rm ? "removed" : "next-exit";
  const keys = flags["detach-keys"] || app.config.detachKeys || DEFAULT_DETACH_KEYS;
  const detachKeys = parseDetachKeys(keys);
  const endProxy = flags["sig-proxy"] && !flags.tty ? await passSignals(connection, id) : () => {};
  // Attaching and waiting are both in place before the start, so that neither output nor end is missed.
  const [stream, waiting] = await Promise.all([
    attachContainer(connection, id, {
      stdin: body.AttachStdin ?? false,
      stdout: body.AttachStdout ?? false,
      stderr: body.AttachStderr ?? false,
      detachKeys: flags["detach-keys"] || (app.config.detachKeys ?? ""),
    }),
    waitContainer(connection, id, removed),
  ]);
  return foreground({ call, connection, id, stream, waiting, body, detachKeys, endProxy });
}

/** The exit code of a run by one request; undefined where the requests have to be made one by one. */
async function atOnce({ flags, app, called }: RunCall, body: CreateBody): Promise<number | undefined> {
  let end: RunEnd | undefined;
  try {
    end = await runAtOnce(app, flags, body);
  } catch (error) {
    return runFailure(app, called, error);
  }
  if (end === undefined) return undefined;
  if ("untaken" in end) throw end.untaken;
  if ("failure" in end) return runFailure(app, called, end.failure, startFailureCode(end.failure));
  return exitCode(app, { result: Promise.resolve(end.ended) });
}

interface Foreground {
  call: RunCall;
  connection: Connection;
  id: string;
  stream: Hijacked;
  waiting: Waiting;
  body: CreateBody;
  detachKeys: readonly number[];
  endProxy: () => void;
}

async function foreground({ call, connection, id, stream, waiting, body, detachKeys, endProxy }: Foreground): Promise<number> {
  const { flags, app, called } = call;
  const { streamSession } = await import("./stream.ts");
  const session = streamSession(stream, { tty: flags.tty, stdin: body.AttachStdin ?? false, detachKeys });
  session.catch(() => {});
  try {
    await startContainer(connection, id);
  } catch (error) {
    stream.close();
    await session.catch(() => {});
    if (flags.rm) await waiting.result.catch(() => {});
    return runFailure(app, called, error, startFailureCode(error));
  }
  const endResize = flags.tty ? followSize((size) => resizeContainer(connection, id, size)) : () => {};
  try {
    if ((await session) === "detached") return 0;
    return await exitCode(app, waiting);
  } finally {
    endResize();
    endProxy();
  }
}

async function startDetached({ flags, app, called }: RunCall, connection: Connection, id: string): Promise<number> {
  const waiting = flags.rm ? await waitContainer(connection, id, "removed") : undefined;
  // The container is there, whether it starts or not.
  app.out(`${id}\n`);
  try {
    await startContainer(connection, id);
  } catch (error) {
    await waiting?.result.catch(() => {});
    return runFailure(app, called, error, startFailureCode(error));
  }
  return 0;
}

async function passSignals(connection: Connection, id: string): Promise<() => void> {
  const { proxySignals } = await import("./signals.ts");
  return proxySignals((signal) => killContainer(connection, id, signal));
}

/** The container's exit code once it is known. */
export async function exitCode(app: Call["app"], waiting: Waiting): Promise<number> {
  try {
    const result = await waiting.result;
    if (result.Error?.Message) {
      app.err(`Error waiting for container: ${result.Error.Message}\n`);
      return EXIT.engine;
    }
    return result.StatusCode;
  } catch (error) {
    app.err(`Error waiting for container: ${messageOf(error)}\n`);
    return EXIT.engine;
  }
}
