/** What the root tests of this part share: real runtime, content and state on private directories, a busybox image, the host's network. Not part of the program. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { openContent } from "../content/open.ts";
import type { Content } from "../content/content.ts";
import { digestOf } from "../oci/digest.ts";
import type { ImageConfig, RunConfig } from "../oci/image.ts";
import { openRuntime } from "../runtime/open.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { appendEvent, eventsAfter } from "../state/events.ts";
import { State } from "../state/state.ts";
import type { OutputSink, StreamId } from "../wire/stream.ts";
import { CONTAINER_DEFAULTS } from "./container-defaults.ts";
import type { Containers } from "./containers.ts";
import type { ContainerImages, ContainerNetworks, ContainersNeeds, ContainerVolumes } from "./needs.ts";
import { openContainers } from "./open.ts";

/** Chain id and image id of the test's one image. */
export const CHAIN = digestOf("busybox layer of the containers' tests");
export const IMAGE = digestOf("busybox image of the containers' tests");

export interface Fixture {
  directory: string;
  containers: Containers;
  state: State;
  content: Content;
  runtime: Runtime;
  /** Actions of all events so far, with what matters of their attributes. */
  actions(): string[];
  /** Ends this engine as a daemon ends: containers run on. */
  close(): Promise<void>;
  /** Ends everything and removes the directories. */
  remove(): Promise<void>;
}

/** Opens an engine of containers alone on a directory; a second one on the same directory is the next daemon. */
export async function openFixture(directory = mkdtempSync("/tmp/lighter-containers-")): Promise<Fixture> {
  const dataRoot = join(directory, "data");
  const execRoot = join(directory, "run");
  mkdirSync(execRoot, { recursive: true });
  const state = new State(join(dataRoot, "state.db"));
  const content = await openContent({ dataRoot, state, roots: [] });
  makeImage(state, dataRoot);
  const cgroupParent = `/lighter-test-${directory.slice(-6)}`;
  // The engine's own helper threads start here rather than on the spawn thread, whose cgroup they would keep.
  Bun.gc(true);
  const runtime = await openRuntime({ execRoot, cgroupParent, cgroupDriver: "cgroupfs", runtimes: {}, defaultRuntime: undefined });
  const needs: ContainersNeeds = {
    state,
    content,
    runtime,
    images: imagesOf(content),
    networks: hostNetwork(),
    volumes: plainVolumes(state, dataRoot),
    options: {
      dataRoot,
      execRoot,
      cgroupParent,
      defaultStopTimeout: 10,
      defaultLogDriver: "json-file",
      defaultLogOptions: {},
      defaultShmSize: 64 << 20,
      defaults: CONTAINER_DEFAULTS,
      defaultRuntime: "",
      init: false,
    },
  };
  const containers = openContainers(needs);
  await containers.restore();
  const close = async (): Promise<void> => {
    await containers[Symbol.asyncDispose]();
    await runtime[Symbol.asyncDispose]();
    state.close();
  };
  return {
    directory,
    containers,
    state,
    content,
    runtime,
    actions: () => eventsAfter(state, 0).map((event) => event.action),
    close,
    remove: async () => {
      for (const { Id = "" } of await containers.list({ all: true, size: false, filters: new Map() }))
        await containers.remove(Id, { force: true, volumes: true, link: false });
      await runtime.sweep(new Set());
      await close();
      // What containers leave is deleted in the background: two that delete the same tree stop each other.
      await content.settled();
      await removeCgroups(cgroupParent);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const APPLETS =
  "sh true false echo cat sleep dd yes head kill grep ls id touch tty seq readlink mount printf wc env ps pwd stat mkdir rm chmod trap hostname nproc df test".split(
    " ",
  );

function makeImage(state: State, dataRoot: string): void {
  if (state.get("SELECT 1 FROM layers WHERE chain_id = ?", CHAIN) !== undefined) return;
  const layer = join(dataRoot, "layers", CHAIN.slice("sha256:".length));
  for (const name of ["bin", "dev", "proc", "sys", "etc", "tmp", "root", "home", "data"]) mkdirSync(join(layer, name), { recursive: true });
  copyFileSync(Bun.which("busybox") ?? "/bin/busybox", join(layer, "bin/busybox"));
  for (const applet of APPLETS) symlinkSync("busybox", join(layer, "bin", applet));
  void Bun.write(join(layer, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n");
  void Bun.write(join(layer, "etc/group"), "root:x:0:\nwheel:x:10:root,ann\nstaff:x:50:\nann:x:1000:\n");
  void Bun.write(join(layer, "data/seed"), "seed\n");
  state.write(
    (tx) =>
      tx.run(
        "INSERT INTO layers (chain_id, parent, diff_id, size, inodes, created, last_used) VALUES (?, NULL, ?, 1, 1, 1, 1)",
        CHAIN,
        CHAIN,
      ),
    { durable: true },
  );
}

function imagesOf(content: Content): ContainerImages {
  const run: RunConfig = { Cmd: ["sh"], Env: ["PATH=/bin"] };
  const config: ImageConfig = { architecture: "amd64", os: "linux", config: run, rootfs: { type: "layers", diff_ids: [CHAIN] } };
  return {
    runnable: (reference) => {
      if (!["busybox", "volumes"].includes(reference))
        return Promise.reject(new LighterError("not-found", `No such image: ${reference}:latest`));
      const own = reference === "volumes" ? { ...config, config: { ...run, Volumes: { "/data": {} }, User: "ann" } } : config;
      return Promise.resolve({
        id: IMAGE,
        manifest: IMAGE,
        config: own,
        configDigest: IMAGE,
        platform: { os: "linux", architecture: "amd64" },
        chainId: CHAIN,
        layers: content.layerStack(CHAIN).map(({ directory }) => directory),
      });
    },
    touch: () => undefined,
    displayName: (reference) => reference,
    descriptor: () => undefined,
    commit: () => Promise.reject(new LighterError("not-found", "No images are made here")),
  };
}

/** Every container shares the host's network: what networks/ does is tested there. */
function hostNetwork(): ContainerNetworks {
  return {
    check: () => undefined,
    reserve: (tx, { containerId }) =>
      appendEvent(tx, { type: "network", action: "connect", actor: "host", attributes: { container: containerId } }),
    enter: () =>
      Promise.resolve({
        namespace: undefined,
        hosts: "127.0.0.1 localhost\n",
        resolvConf: "nameserver 192.0.2.1\n",
        entered: () => undefined,
      }),
    leave: () => Promise.resolve(),
    release: () => undefined,
    rename: () => undefined,
    republish: () => undefined,
    limitWays: () => undefined,
    changeAliases: (_tx, _request, network, change) => ({ network, id: network, aliases: change.add, kept: false }),
    settings: () => ({ networks: {}, ports: {}, sandboxId: "", sandboxKey: "" }),
    summaries: () => () => ({ networks: {}, ports: {} }),
  };
}

function plainVolumes(state: State, dataRoot: string): ContainerVolumes {
  const anonymous = new Map<string, string[]>();
  const data = (name: string): string => join(dataRoot, "volumes", name, "_data");
  return {
    reference: (tx, options) => {
      const known = tx.get("SELECT 1 FROM volumes WHERE name = ?", options.name) !== undefined;
      tx.run("INSERT OR IGNORE INTO volumes (name, driver, created, config_json) VALUES (?, 'local', 1, '{}')", options.name);
      tx.run("INSERT INTO volume_references VALUES (?, ?, ?)", options.name, options.container, options.destination);
      mkdirSync(data(options.name), { recursive: true });
      if (options.anonymous) anonymous.set(options.container, [...(anonymous.get(options.container) ?? []), options.name]);
      return !known;
    },
    unreference: (tx, container) => tx.run("DELETE FROM volume_references WHERE container = ?", container),
    ready: async (name, { copyFrom }) => {
      const source = await copyFrom?.();
      // A descriptor of ours is seen by another process under our number only.
      const from = source?.path.replace("/proc/self/", `/proc/${process.pid}/`);
      if (from !== undefined) await Bun.$`cp -a ${from}/. ${data(name)}`.quiet();
      source?.done();
      return data(name);
    },
    inspect: () => ({ Options: {} }),
    release: () => Promise.resolve(),
    adopt: () => Promise.resolve(),
    remove: (name) => {
      state.write((tx) => tx.run("DELETE FROM volumes WHERE name = ?", name), { durable: false });
      return rm(join(dataRoot, "volumes", name), { recursive: true });
    },
    dropAnonymous: (tx, container) => {
      const names = anonymous.get(container) ?? [];
      tx.run("DELETE FROM volume_references WHERE container = ?", container);
      for (const name of names) tx.run("DELETE FROM volumes WHERE name = ?", name);
      return () => Promise.resolve(names.forEach((name) => rmSync(join(dataRoot, "volumes", name), { recursive: true })));
    },
  };
}

/** A sink that keeps all it gets. */
export class Collected implements OutputSink {
  readonly #pieces: { stream: StreamId; data: Uint8Array }[] = [];
  readonly #end = Promise.withResolvers<void>();
  readonly ended = this.#end.promise;

  write(stream: StreamId, data: Uint8Array): boolean {
    this.#pieces.push({ stream, data });
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  end(): void {
    this.#end.resolve();
  }

  text(stream?: StreamId): string {
    return Buffer.concat(
      this.#pieces.filter((piece) => stream === undefined || piece.stream === stream).map(({ data }) => data),
    ).toString();
  }
}

/** Helper threads that Bun started from the spawn thread stay in its cgroup as long as the process lives: they are moved back first. */
async function removeCgroups(path: string): Promise<void> {
  const script = `for c in /sys/fs/cgroup /sys/fs/cgroup/*; do for d in $c${path}/monitors $c${path}; do
    [ -d $d ] || continue
    for t in $(cat $d/tasks $d/cgroup.procs 2>/dev/null); do echo $t > $c/tasks; done 2>/dev/null
    rmdir $d || exit 1
  done; done`;
  for (let tries = 0; tries < 50; tries++) {
    if ((await Bun.$`sh -c ${script}`.nothrow().quiet()).exitCode === 0) return;
    await Bun.sleep(20);
  }
  throw new Error(`cgroup ${path} stays`);
}
