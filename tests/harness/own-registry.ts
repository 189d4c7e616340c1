import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { LIGHTER } from "./daemon.ts";
import { freePort } from "./ports.ts";
import { until } from "./until.ts";

/** `lighter registry serve` on a loopback port and a folder of its own. What it prints goes to `registry.log` there. */
export class OwnRegistry {
  readonly folder: string;
  readonly flags: readonly string[];
  /** `127.0.0.1:PORT`: stays the same over restarts. */
  readonly host = `127.0.0.1:${freePort()}`;
  #child: Bun.Subprocess | undefined;

  constructor(folder: string, flags: readonly string[] = []) {
    this.folder = folder;
    this.flags = flags;
  }

  get data(): string {
    return join(this.folder, "data");
  }

  /** `http://HOST`, or `https://HOST` with `--tls`. */
  get address(): string {
    return `${this.flags.includes("--tls") ? "https" : "http"}://${this.host}`;
  }

  /** The folder in which container tools look for the certificate of this registry. */
  get certificates(): string {
    return join(this.folder, "certs");
  }

  get command(): string[] {
    return [LIGHTER, "registry", "serve", "--addr", this.host, "--data", this.data, ...this.flags];
  }

  get log(): Promise<string> {
    return Bun.file(join(this.folder, "registry.log")).text();
  }

  async start(): Promise<void> {
    await mkdir(this.certificates, { recursive: true });
    const child = Bun.spawn(["sh", "-c", 'exec "$@" >> "$0" 2>&1', join(this.folder, "registry.log"), ...this.command], {
      stdin: "ignore",
    });
    this.#child = child;
    const answers = async (): Promise<boolean> => child.exitCode !== null || (await this.call("GET", "/v2/")).status < 500;
    await until("the registry answers", answers, { timeout: 20_000 });
    if (child.exitCode !== null) throw new Error(`The registry ended with ${child.exitCode}. Its log:\n${(await this.log).slice(-4000)}`);
    if (this.flags.includes("--tls")) await Bun.write(join(this.certificates, "ca.crt"), Bun.file(join(this.data, "tls/registry.crt")));
  }

  /** Sends a signal and waits for the end; the exit code. */
  async end(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<number> {
    const child = this.#child;
    if (child === undefined) return 0;
    child.kill(signal);
    const code = await child.exited;
    this.#child = undefined;
    return code;
  }

  /** A request; who reads the answer trusts any certificate. */
  async call(
    method: string,
    path: string,
    init: { body?: string | Uint8Array<ArrayBuffer>; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    return await fetch(new URL(path, this.address), { method, redirect: "manual", tls: { rejectUnauthorized: false }, ...init });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
  }
}
