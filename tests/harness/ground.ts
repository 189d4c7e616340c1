import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dockerClient } from "../../tools/programs.ts";
import { must } from "../../tools/shell.ts";
import { testImage, type TestImageName } from "../../tools/test-images.ts";
import { Client } from "./client.ts";
import { Daemon, LIGHTER } from "./daemon.ts";
import { TestRegistry } from "./registry.ts";

/** The clients every command is tried with, by name. */
export const CLIENTS = ["lighter", "docker 20.10", "docker 26.1"] as const;

export type ClientName = (typeof CLIENTS)[number];

/** What a suite stands on: a private daemon, a private registry with the test images, and three clients; all of it in one temporary folder. */
export class Ground {
  readonly folder: string;
  readonly daemon: Daemon;
  readonly registry: TestRegistry;
  readonly #programs: Record<ClientName, string>;
  #names = 0;

  private constructor(folder: string, daemon: Daemon, registry: TestRegistry, programs: Record<ClientName, string>) {
    this.folder = folder;
    this.daemon = daemon;
    this.registry = registry;
    this.#programs = programs;
  }

  client(name: ClientName): Client {
    return new Client(name, this.#programs[name], this.clientEnv(name));
  }

  /** Our own client. */
  get lighter(): Client {
    return this.client("lighter");
  }

  /** A name for a container that no other test of this suite uses. */
  name(): string {
    return `test-${++this.#names}`;
  }

  /** The environment that leads a client to this daemon, with a configuration folder of its own. */
  clientEnv(name: string): Record<string, string> {
    const config = join(this.folder, `config-${name.replaceAll(" ", "-")}`);
    return { DOCKER_HOST: `unix://${this.daemon.socket}`, DOCKER_CONFIG: config, HOME: this.folder };
  }

  /** Starts it all and pulls `images` from the registry, tagged by their short names. */
  static async lay(images: readonly TestImageName[], daemonFlags: readonly string[] = []): Promise<Ground> {
    const folder = await mkdtemp(join(tmpdir(), "lighter-test-"));
    // Others than root may run containers here.
    await chmod(folder, 0o711);
    const programs = { lighter: LIGHTER, "docker 20.10": await dockerClient("bookworm"), "docker 26.1": await dockerClient("trixie") };
    const registry = await TestRegistry.start(join(folder, "registry"));
    const ground = new Ground(folder, new Daemon(join(folder, "daemon"), daemonFlags), registry, programs);
    try {
      await ground.daemon.start();
      for (const name of images) await ground.pull(name);
    } catch (error) {
      await ground[Symbol.asyncDispose]().catch(() => undefined);
      throw error;
    }
    return ground;
  }

  /** Pushes a test image to the registry, has the daemon pull it, and gives it its short name. */
  async pull(name: TestImageName): Promise<void> {
    await this.registry.push((await testImage(name)).layout, name);
    const from = `${this.registry.host}/${name}`;
    const response = await this.daemon.api("POST", `/images/create?fromImage=${encodeURIComponent(from)}&tag=latest`);
    const progress = await response.text();
    if (!response.ok || progress.includes('"error"')) throw new Error(`The pull of ${from} failed: ${progress.slice(-1000)}`);
    const tag = await this.daemon.api("POST", `/images/${from}:latest/tag?repo=${name}&tag=latest`);
    if (tag.status !== 201) throw new Error(`The tag of ${from} failed: ${await tag.text()}`);
  }

  /** A path inside the folder of this ground. */
  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.daemon[Symbol.asyncDispose]();
    } finally {
      await this.registry[Symbol.asyncDispose]();
      await must(["sh", "-c", 'grep -o " $0/[^ ]*" /proc/self/mounts | sort -r | xargs -r umount -l', this.folder]).catch(() => "");
      await rm(this.folder, { recursive: true, force: true });
    }
  }
}
