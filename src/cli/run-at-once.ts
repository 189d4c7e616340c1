import { killContainer, type CreateBody } from "../client/containers.ts";
import type { Connection } from "../client/connection.ts";
import { followRun, openRun, type RunEnd } from "../client/run.ts";
import type { App } from "./app.ts";
import { PacedOutput, runsOf } from "./paced-output.ts";

/** The flags of a run that say how it is asked for. */
export interface RunFlags {
  name: string;
  platform: string;
  rm: boolean;
  pull: string;
  tty: boolean;
  cidfile: string;
  "detach-keys": string;
  "sig-proxy": boolean;
  "use-api-socket"?: boolean;
}

/** Whether one request can stand for all: output that is shown, and nothing that has to happen before the create or before the start. */
export function canRunAtOnce(flags: RunFlags, body: CreateBody): boolean {
  if (flags.tty || body.OpenStdin || body.AttachStdin || !(body.AttachStdout || body.AttachStderr)) return false;
  // Keys mean nothing here, but an attach refuses those that are none.
  if (flags["detach-keys"] !== "") return false;
  return flags.pull !== "always" && flags.cidfile === "" && !flags["use-api-socket"];
}

/**
 * Runs a container by one request to our daemon and shows its output. Resolves with undefined when the daemon refused it before anything was made (see {@link openRun}).
 * Signals that come before the container is made wait for it a moment (see `early-signals.ts`).
 */
export async function runAtOnce(app: App, flags: RunFlags, body: CreateBody): Promise<RunEnd | undefined> {
  const connection = await app.connection();
  const sent = Promise.withResolvers<void>();
  const opening = openRun(connection, body, { name: flags.name, platform: flags.platform, removed: flags.rm, sent: sent.resolve });
  // Where nobody listens, nothing is ever sent.
  opening.then(() => sent.resolve(), sent.reject);
  const made = Promise.withResolvers<string>();
  // Loaded while the daemon makes the container.
  await sent.promise;
  const signals = flags["sig-proxy"] ? await passSignals(connection, made.promise) : undefined;
  try {
    const stream = await opening;
    if (stream === undefined) return undefined;
    const paced = new PacedOutput();
    return await followRun(stream, {
      created: ({ Id, Warnings }) => {
        for (const warning of Warnings ?? []) app.err(`WARNING: ${warning}\n`);
        made.resolve(Id);
      },
      output: (pieces) => paced.take(runsOf(pieces)),
    });
  } finally {
    signals?.end();
  }
}

async function passSignals(connection: Connection, made: Promise<string>): Promise<{ end: () => void }> {
  const { proxyEarlySignals } = await import("./early-signals.ts");
  return proxyEarlySignals(made, (id, signal) => killContainer(connection, id, signal));
}
