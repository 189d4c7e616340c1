import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kindOf, LighterError } from "../base/errors.ts";
import { Connection } from "./connection.ts";
import type { Endpoint } from "./endpoint.ts";
import { openSshTunnel, sshCommand, type SshTunnel } from "./ssh.ts";

/** What the other side runs: lighter, by whatever name it has there. */
const REMOTE = `sh -c 'command -v lighter >/dev/null 2>&1 && exec lighter "$@"; exec docker "$@"' -`;
/** Only the first of several connections logs in; the others go over it. */
const SHARED = ["-o", "ControlMaster=auto", "-o", "ControlPersist=15"];

/**
 * Opens a way to the daemon of another machine, for images to go over: a unix socket, each connection of which leads through ssh to its API.
 * Throws `unavailable` where ssh does not get there, `unsupported` where the daemon is not one that takes images so.
 */
export async function openFarDaemon(endpoint: Extract<Endpoint, { kind: "ssh" }>): Promise<SshTunnel> {
  const folder = await mkdtemp(join(tmpdir(), "lighter-far-"));
  const control = ["-o", `ControlPath=${join(folder, "%C")}`];
  const [program = "ssh", ...words] = sshCommand(endpoint, REMOTE);
  // The end of the program ends it, too, however it comes.
  const sweep = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", sweep);
  const tunnel = await openSshTunnel(endpoint, [program, ...SHARED, ...control, ...words]);
  async function close(): Promise<void> {
    await tunnel[Symbol.asyncDispose]();
    const at = sshCommand(endpoint, "").slice(1, -3);
    const end = Bun.spawn([program, ...control, "-O", "exit", ...at], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    await end.exited;
    process.off("exit", sweep);
    await rm(folder, { recursive: true, force: true });
  }
  try {
    await greet(new Connection({ kind: "unix", path: tunnel.path, text: endpoint.text }), endpoint.text);
  } catch (error) {
    await close();
    throw error;
  }
  return { path: tunnel.path, [Symbol.asyncDispose]: close };
}

async function greet(far: Connection, text: string): Promise<void> {
  try {
    await far.send("GET", "/lighter/exchange/v2/");
  } catch (error) {
    if (kindOf(error) !== "not-found") throw error;
    throw new LighterError("unsupported", `Cannot exchange images with ${text}: the daemon there is not Lighter, or is too old for it`, {
      cause: error,
    });
  }
}

/** Pushes an image of the daemon here to the one that a socket leads to, or pulls it from there. The answer's body is a stream of progress messages. */
export async function moveImage(
  connection: Connection,
  way: "push" | "pull",
  image: { name: string; tag: string },
  options: { platform?: string; through: string },
): Promise<Response> {
  const query = { name: image.name, tag: image.tag || undefined, platform: options.platform || undefined, through: options.through };
  try {
    return await connection.request("POST", `/lighter/${way}`, { query });
  } catch (error) {
    if (kindOf(error) !== "not-found" || !String(error).includes("page not found")) throw error;
    throw new LighterError("unsupported", `Cannot ${way} over ssh: the daemon here is not Lighter, or is too old for it`, { cause: error });
  }
}
