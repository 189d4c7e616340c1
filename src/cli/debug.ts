import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import {
  attachContainer,
  inspectContainer,
  killContainer,
  removeContainer,
  resizeContainer,
  startContainer,
  waitContainer,
  type CreateBody,
} from "../client/containers.ts";
import type { Connection } from "../client/connection.ts";
import { inspectImage } from "../client/images.ts";
import { command, MANY, type Call } from "./command.ts";
import { createWithPull } from "./create-container.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "./detach-keys.ts";
import { bool, string } from "./flags.ts";
import { isTerminal } from "./is-terminal.ts";
import { runFailure, startFailureCode } from "./run-failure.ts";
import { exitCode } from "./run.ts";
import { followSize, inputIsTerminal, terminalSize } from "./terminal.ts";
import { toolboxImage } from "./toolbox.ts";

/** Where the files of the target are, in the container of tools: see containers/debug.ts. */
const TARGET = "/target";

/** The exit code of a program that SIGTERM ended. */
const TERMINATED = 143;

const flags = {
  command: string("Run this line in the shell, and end with it", "c"),
  image: string("Image with the tools; one of busybox is made when none is named"),
  privileged: bool("Give the tools all rights of the host's root"),
  shell: string("Shell to start", { initial: "sh", shown: '"sh"' }),
};

type DebugCall = Call<typeof flags>;

/** `debug`: a shell with tools in the namespaces of a container, or in the files of one that does not run, or of an image. */
export const debug = command({
  usage: "[OPTIONS] CONTAINER|IMAGE [COMMAND] [ARG...]",
  args: [1, MANY],
  stopAtWord: true,
  flags,
  async run(call) {
    if (call.flags.command !== "" && call.args.length > 1)
      throw new LighterError("invalid", "--command and a command after the name exclude each other: give one of them");
    const { app, called, flags: given } = call;
    const connection = await app.connection();
    const target = await targetOf(connection, call.args[0] ?? "");
    const image = given.image || (await toolboxImage(app));
    let id: string;
    try {
      // An image that was named and is not here is pulled.
      const options = { name: "", platform: "", pull: "missing", quiet: false, cidfile: "" };
      id = await createWithPull(app, bodyOf(call, target, image), options);
    } catch (error) {
      return runFailure(app, called, error);
    }
    return session(call, connection, id);
  },
});

interface Target {
  kind: "container" | "image";
  id: string;
  name: string;
  running: boolean;
}

/** A container of that name, else an image. Throws `not-found`. */
async function targetOf(connection: Connection, name: string): Promise<Target> {
  try {
    const { Id = "", Name = "", State } = await inspectContainer(connection, name);
    return { kind: "container", id: Id, name: Name.replace(/^\//, ""), running: (State?.Running ?? false) && !State?.Restarting };
  } catch (error) {
    if (kindOf(error) !== "not-found") throw error;
  }
  try {
    const { Id = "" } = await inspectImage(connection, name);
    return { kind: "image", id: Id, name, running: false };
  } catch (error) {
    if (kindOf(error) !== "not-found") throw error;
    throw new LighterError("not-found", `No such container or image: ${name}`, { cause: error });
  }
}

function bodyOf({ flags: given, args }: DebugCall, target: Target, image: string): CreateBody {
  const words = args.slice(1);
  const Cmd = given.command === "" ? (words.length > 0 ? words : [given.shell]) : [given.shell, "-c", given.command];
  const tty = inputIsTerminal() && isTerminal(1);
  const size = tty ? terminalSize() : undefined;
  const host = {
    AutoRemove: true,
    // To look at processes of other users and at their roots.
    CapAdd: ["SYS_PTRACE"],
    LogConfig: { Type: "none" },
    ...(target.kind === "container" ? { DebugContainer: target.id } : { DebugImage: target.id }),
    ...(target.running ? { NetworkMode: `container:${target.id}` } : {}),
    ...(given.privileged && { Privileged: true }),
    ...(size && { ConsoleSize: [size.height, size.width] as [number, number] }),
  };
  return {
    Image: image,
    ...(target.running ? entering(given.shell, Cmd) : { Entrypoint: [], Cmd, WorkingDir: TARGET }),
    // Seen through a process, it has no path that the kernel could tell.
    Env: [`PWD=${TARGET}`, `PS1=${target.name}:$PWD # `, "HOME=/root"],
    Labels: { "lighter.debug": target.name },
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: true,
    StdinOnce: true,
    Tty: tty,
    HostConfig: host as NonNullable<CreateBody["HostConfig"]>,
  };
}

/** crun 1.21 starts nothing in a folder that has no path: the shell goes there. */
function entering(shell: string, command: readonly string[]): Pick<CreateBody, "Entrypoint" | "Cmd" | "WorkingDir"> {
  return { Entrypoint: [shell, "-c", `cd ${TARGET} && exec "$@"`, shell], Cmd: [...command], WorkingDir: "/" };
}

async function session({ app, called }: DebugCall, connection: Connection, id: string): Promise<number> {
  const tty = isTerminal(0) && isTerminal(1);
  const remove = (): Promise<void> => removeContainer(connection, id, { force: true, volumes: true }).catch(() => undefined);
  // Nothing stays behind when this program is told to end.
  let told = false;
  const end = (): void => {
    told = true;
    void remove().finally(() => process.exit(TERMINATED));
  };
  process.on("SIGTERM", end).on("SIGHUP", end);
  const interrupt = (): void => void killContainer(connection, id, "INT").catch(() => {});
  if (!tty) process.on("SIGINT", interrupt);
  try {
    const { streamSession } = await import("./stream.ts");
    const detachKeys = parseDetachKeys(app.config.detachKeys || DEFAULT_DETACH_KEYS);
    const [stream, waiting] = await Promise.all([
      attachContainer(connection, id, { stdin: true, stdout: true, stderr: true }),
      waitContainer(connection, id, "removed"),
    ]);
    const streaming = streamSession(stream, { tty, stdin: true, detachKeys });
    streaming.catch(() => {});
    try {
      await startContainer(connection, id);
    } catch (error) {
      stream.close();
      await waiting.result.catch(() => {});
      return runFailure(app, called, error, startFailureCode(error));
    }
    const endResize = tty ? followSize((size) => resizeContainer(connection, id, size)) : () => {};
    const how = await streaming;
    endResize();
    if (how === "ended") {
      const code = await exitCode(app, waiting);
      return told ? TERMINATED : code;
    }
    await remove();
    return 0;
  } catch (error) {
    await remove();
    throw new LighterError(kindOf(error), messageOf(error), { cause: error });
  } finally {
    process.off("SIGTERM", end).off("SIGHUP", end).off("SIGINT", interrupt);
  }
}
