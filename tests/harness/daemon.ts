import { appendFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { completeConfig } from "../../src/engine/config.ts";
import { Schema } from "./schema.ts";
import { until } from "./until.ts";

const root = join(import.meta.dir, "../..");

/** `LIGHTER_TEST_PEER=dockerd` runs the suites on Debian's dockerd, to see that what they expect is what Docker does. */
const PEER = process.env["LIGHTER_TEST_PEER"];
const NEWEST = PEER === undefined ? "1.56" : "1.41";

/** The executable under test. */
export const LIGHTER = process.env["LIGHTER_EXECUTABLE"] ?? join(root, "dist/lighter");

/** A request to the Engine API; `body` goes as JSON unless it is bytes. */
export interface ApiOptions {
  body?: object | Uint8Array;
  /** `1.43`; the newest when left out; null sends no version. */
  version?: string | null;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** A daemon of our own on roots of its own. What it prints goes to `daemon.log` in its folder. */
export class Daemon {
  readonly folder: string;
  readonly flags: string[];
  readonly schema = new Schema();
  #child: Bun.Subprocess | undefined;

  constructor(folder: string, flags: readonly string[] = []) {
    this.folder = folder;
    this.flags = [...flags];
  }

  get socket(): string {
    return join(this.folder, "lighter.sock");
  }

  get dataRoot(): string {
    return join(this.folder, "data");
  }

  get execRoot(): string {
    return join(this.folder, "run");
  }

  /** Bridge, nftables table and cgroup of this daemon. */
  get names(): { bridge: string; scope: string } {
    const { bridgeName, scope } = completeConfig({ dataRoot: this.dataRoot });
    return { bridge: bridgeName, scope };
  }

  get pid(): number {
    if (this.#child === undefined) throw new Error("the daemon does not run");
    return this.#child.pid;
  }

  get log(): Promise<string> {
    return Bun.file(join(this.folder, "daemon.log")).text();
  }

  /** The command line of the daemon. */
  get command(): string[] {
    return [
      ...(PEER === undefined ? [LIGHTER, "daemon"] : [PEER, "--pidfile", join(this.folder, "peer.pid")]),
      "--data-root",
      this.dataRoot,
      "--exec-root",
      this.execRoot,
      "-H",
      `unix://${this.socket}`,
      ...this.flags,
    ];
  }

  /** Starts it and waits until it answers. */
  async start(): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    // The runner removes what is left of these names on the machine.
    if (process.env["LIGHTER_TEST_SCOPES"] !== undefined) await appendFile(process.env["LIGHTER_TEST_SCOPES"], `${this.names.scope}\n`);
    const path = join(this.folder, "daemon.log");
    const child = Bun.spawn(["sh", "-c", 'exec "$@" >> "$0" 2>&1', path, ...this.command], { stdin: "ignore", env: process.env });
    this.#child = child;
    try {
      await until("the daemon answers", async () => child.exitCode !== null || (await this.api("GET", "/_ping")).ok, { timeout: 20_000 });
    } catch (cause) {
      throw new Error(`The daemon does not answer. Its log:\n${(await this.log).slice(-4000)}`, { cause });
    }
    if (child.exitCode !== null) throw new Error(`The daemon ended with ${child.exitCode}. Its log:\n${(await this.log).slice(-4000)}`);
  }

  /** Sends a signal and waits for the end; returns the exit code. */
  async end(signal: "SIGTERM" | "SIGKILL" | "SIGINT" = "SIGTERM"): Promise<number> {
    const child = this.#child;
    if (child === undefined) return 0;
    child.kill(signal);
    const code = await child.exited;
    this.#child = undefined;
    return code;
  }

  /** A request to the API. */
  async api(method: string, path: string, { body, version, headers, signal }: ApiOptions = {}): Promise<Response> {
    const prefix = version === null || path === "/_ping" ? "" : `/v${version ?? NEWEST}`;
    const json = body !== undefined && !(body instanceof Uint8Array);
    return await fetch(`http://lighter${prefix}${path}`, {
      method,
      unix: this.socket,
      headers: { ...(json ? { "content-type": "application/json" } : {}), ...headers },
      ...(body === undefined ? {} : { body: json ? JSON.stringify(body) : (body as Uint8Array<ArrayBuffer>) }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** A request that has to succeed; its JSON, checked against the schema of the API. */
  async json<T>(method: string, path: string, options: ApiOptions = {}): Promise<T> {
    const response = await this.api(method, path, options);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    const value = text === "" ? undefined : (JSON.parse(text) as unknown);
    if (PEER === undefined) this.schema.check(method, path, response.status, value);
    return value as T;
  }

  /** A request that has to fail; status and message. The body is checked against the schema, too. */
  async failure(method: string, path: string, options: ApiOptions = {}): Promise<{ status: number; message: string }> {
    const response = await this.api(method, path, options);
    const text = await response.text();
    if (response.ok) throw new Error(`${method} ${path} was to fail: ${response.status} ${text}`);
    const value = JSON.parse(text) as { message: string };
    if (PEER === undefined) this.schema.check(method, path, response.status, value);
    return { status: response.status, message: value.message };
  }

  /** Removes its containers, ends it, and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#child?.exitCode === null) await this.#removeContainers();
      else if (this.#child !== undefined)
        console.error(`The daemon had ended with ${this.#child.exitCode}. Its log:\n${(await this.log).slice(-4000)}`);
    } finally {
      await this.end();
      // A daemon that was told to end while a container still ran leaves its exec root mounted.
      const script = 'grep -o " $0/[^ ]*" /proc/self/mounts | sort -r | xargs -r umount -l';
      await Bun.spawn(["sh", "-c", script, this.folder], { stdio: ["ignore", "ignore", "ignore"] }).exited;
      await rm(this.folder, { recursive: true, force: true });
    }
  }

  async #removeContainers(): Promise<void> {
    const containers = async (): Promise<{ Id: string }[]> =>
      (await (await this.api("GET", "/containers/json?all=1")).json()) as { Id: string }[];
    await Promise.all((await containers()).map(({ Id }) => this.api("DELETE", `/containers/${Id}?force=1&v=1`)));
    // One whose removal was under way already, for --rm, goes a moment later.
    await until("no container is left", async () => (await containers()).length === 0, { timeout: 10_000 }).catch(() => undefined);
  }
}
