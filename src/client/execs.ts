import type { ExecInspectResponse, IdResponse } from "../wire/engine-api.ts";
import type { Connection } from "./connection.ts";
import { containerSegment, type Size } from "./containers.ts";
import { openRunStream } from "./run.ts";
import type { Hijacked } from "./upgrade.ts";

/** What is to run in a container that runs. */
export interface ExecBody {
  User?: string;
  Privileged?: boolean;
  Tty?: boolean;
  ConsoleSize?: [height: number, width: number];
  AttachStdin?: boolean;
  AttachStderr?: boolean;
  AttachStdout?: boolean;
  DetachKeys?: string;
  Env?: string[];
  WorkingDir?: string;
  Cmd: string[];
}

/** Registers a command for a container; nothing runs yet. */
export async function createExec(connection: Connection, container: string, body: ExecBody): Promise<string> {
  const { Id } = await connection.json<IdResponse>("POST", `/containers/${containerSegment(container)}/exec`, { json: body });
  return Id;
}

/**
 * Runs a command without input and terminal, all in one request, to be followed by `followRun`. Resolves with undefined where that was refused and nothing was made, as
 * by a daemon that is not ours.
 */
export function openExec(connection: Connection, container: string, body: ExecBody): Promise<Hijacked | undefined> {
  return openRunStream(connection, `/lighter/containers/${containerSegment(container)}/exec`, { json: body });
}

/** Starts the command in the background. */
export async function startExec(connection: Connection, id: string, tty: boolean): Promise<void> {
  await connection.send("POST", `/exec/${id}/start`, { json: { Detach: true, Tty: tty } });
}

/** Starts the command and takes over the connection for its streams. */
export function attachExec(connection: Connection, id: string, options: { tty: boolean; size?: Size }): Promise<Hijacked> {
  const json = { Detach: false, Tty: options.tty, ...(options.size && { ConsoleSize: [options.size.height, options.size.width] }) };
  return connection.hijack(`/exec/${id}/start`, { json });
}

export function inspectExec(connection: Connection, id: string): Promise<ExecInspectResponse> {
  return connection.json("GET", `/exec/${id}/json`);
}

export async function resizeExec(connection: Connection, id: string, size: Size): Promise<void> {
  await connection.send("POST", `/exec/${id}/resize`, { query: { h: size.height, w: size.width } });
}
