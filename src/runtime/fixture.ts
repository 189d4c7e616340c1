/** What the root tests and the benchmark of this part share: a root of busybox, Docker-like specs, sinks. Not part of the program. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { newId } from "../base/ids.ts";
import { ensureMemory } from "../linux/memory-directory.ts";
import type { Mount, Process, RuntimeSpec } from "../oci/spec.ts";
import type { OutputSink, StreamId } from "../wire/stream.ts";
import { openRuntime } from "./open.ts";
import type { Exit, Runtime, RuntimeOptions, StdinMode, Task, TaskSpec } from "./runtime.ts";

/** Docker's default capabilities. */
export const CAPABILITIES =
  "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID CAP_SETFCAP CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE".split(
    " ",
  );

const APPLETS =
  "sh true false echo cat sleep dd yes head kill grep stty ls id touch tty seq readlink mount umount unshare printf wc env".split(" ");

export interface Fixture {
  directory: string;
  runtime: Runtime;
  options: RuntimeOptions;
  /** A task that runs `args`; with its own upper directory and no network. */
  spec(args: string[], more?: Partial<TaskSpec> & { process?: Partial<Process>; id?: string; mounts?: Mount[] }): TaskSpec;
  close(): Promise<void>;
}

/** A private exec root, cgroup parent and busybox layer under `/tmp`. */
export async function openFixture(runtimeName = "crun", options: Partial<RuntimeOptions> = {}): Promise<Fixture> {
  const directory = mkdtempSync("/tmp/lighter-runtime-");
  // As most hosts have their /run; left behind by `close`.
  ensureMemory(`${directory}/run`);
  makeLayer(`${directory}/layer`);
  return openFixtureAt(directory, `/lighter-test-${directory.slice(-6)}`, { defaultRuntime: runtimeName, ...options });
}

/** The same over a directory that another process has made. */
export async function openFixtureAt(directory: string, cgroupParent: string, options: Partial<RuntimeOptions> = {}): Promise<Fixture> {
  const all: RuntimeOptions = {
    execRoot: `${directory}/run`,
    cgroupParent,
    cgroupDriver: "cgroupfs",
    runtimes: {},
    defaultRuntime: undefined,
    ...options,
  };
  const runtime = await openRuntime(all);
  return {
    directory,
    runtime,
    options: all,
    spec: (args, more = {}) => taskSpec(directory, runtime, args, more),
    close: async () => {
      await runtime.sweep(new Set());
      await runtime[Symbol.asyncDispose]();
      await removeParent(all.cgroupParent);
      await Bun.$`umount -R ${all.execRoot}`.nothrow().quiet();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A second runtime over the same exec root, as a daemon that starts anew. */
export function reopen({ options }: Fixture): Promise<Runtime> {
  return openRuntime(options);
}

function taskSpec(
  directory: string,
  runtime: Runtime,
  args: string[],
  more: Partial<TaskSpec> & { process?: Partial<Process>; id?: string; mounts?: Mount[] },
): TaskSpec {
  const { process = {}, mounts = [], id = newId(), ...rest } = more;
  const own = `${directory}/containers/${id}`;
  for (const name of ["upper", "work"]) mkdirSync(`${own}/${name}`, { recursive: true });
  return {
    id,
    runtime: runtime.record(""),
    directory: `${directory}/run/containers/${id}`,
    spec: ociSpec(args, process, mounts),
    rootfs: { lower: [`${directory}/layer`], upper: `${own}/upper`, work: `${own}/work`, volatile: true },
    seccomp: { kind: "default" },
    terminal: false,
    stdin: "none" as StdinMode,
    logFile: `${own}/log`,
    ...rest,
  };
}

/** A spec as confined as Docker's, without network. */
export function ociSpec(args: string[], process: Partial<Process> = {}, mounts: Mount[] = []): RuntimeSpec {
  const caps = CAPABILITIES;
  return {
    ociVersion: "1.0.2",
    process: {
      user: { uid: 0, gid: 0 },
      args,
      env: ["PATH=/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: caps, effective: caps, permitted: caps, inheritable: [], ambient: [] },
      ...process,
    },
    root: { path: "" },
    hostname: "test",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid", "noexec", "nodev"] },
      { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"] },
      ...mounts,
    ],
    linux: {
      namespaces: [{ type: "mount" }, { type: "network" }, { type: "uts" }, { type: "pid" }, { type: "ipc" }],
      resources: {
        devices: [
          { allow: false, access: "rwm" },
          ...[3, 5, 7, 8, 9].map((minor) => ({ allow: true, type: "c" as const, major: 1, minor, access: "rwm" })),
          { allow: true, type: "c", major: 5, minor: 0, access: "rwm" },
          { allow: true, type: "c", major: 5, minor: 2, access: "rwm" },
          { allow: true, type: "c", major: 136, access: "rwm" },
        ],
      },
      maskedPaths: [
        "/proc/asound",
        "/proc/acpi",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
      ],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  };
}

/** A sink that keeps all it gets. */
export class Collected implements OutputSink {
  readonly pieces: { stream: StreamId; data: Uint8Array }[] = [];
  bytes = 0;
  ended = false;

  write(stream: StreamId, data: Uint8Array): boolean {
    this.pieces.push({ stream, data });
    this.bytes += data.length;
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  end(): void {
    this.ended = true;
  }

  text(stream?: StreamId): string {
    return Buffer.concat(
      this.pieces.filter((piece) => stream === undefined || piece.stream === stream).map((piece) => piece.data),
    ).toString();
  }
}

/** What {@link runTask} takes beside the fixture. */
export type RunArguments = [spec: TaskSpec, input?: (task: Task, sink: Collected) => Promise<void>];

/** Runs a task to its end and removes it. */
export async function runTask(fixture: Fixture, ...[spec, input]: RunArguments): Promise<{ exit: Exit; sink: Collected }> {
  const task = await fixture.runtime.create(spec);
  try {
    const sink = new Collected();
    const client = task.attach(sink, { stdin: true, stdout: true, stderr: true });
    await task.start();
    if (input) await input(task, sink);
    const exit = await task.exited;
    await client.ended;
    return { exit, sink };
  } finally {
    await task.delete();
  }
}

/** The message of a rejection. */
export async function failureOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "no failure",
    (error: unknown) => (error as Error).message,
  );
}

/** Waits for a condition; throws after 30 s. */
export async function until(condition: () => boolean): Promise<void> {
  for (const begun = performance.now(); !condition(); await Bun.sleep(5))
    if (performance.now() - begun > 30_000) throw new Error("not within 30 s");
}

/** Everything that a container could have left: directories of the exec root, cgroups, mounts. */
export function traces({ options }: Fixture): string[] {
  const list = (path: string): string[] =>
    existsSync(path)
      ? readdirSync(path, { withFileTypes: true })
          .filter((e) => e.isDirectory())
          .map((e) => `${path}/${e.name}`)
      : [];
  const groups = readdirSync("/sys/fs/cgroup").flatMap((name) => list(`/sys/fs/cgroup/${name}${options.cgroupParent}`));
  const states = list(`${options.execRoot}/state`).flatMap(list);
  return [
    ...list(`${options.execRoot}/containers`),
    ...list(`${options.execRoot}/rootfs`),
    ...states,
    ...groups.filter((path) => !path.endsWith("/monitors")),
  ];
}

function makeLayer(layer: string): void {
  for (const name of ["bin", "dev", "proc", "sys", "etc", "tmp"]) mkdirSync(`${layer}/${name}`, { recursive: true });
  copyFileSync(Bun.which("busybox") ?? "/bin/busybox", `${layer}/bin/busybox`);
  for (const applet of APPLETS) symlinkSync("busybox", `${layer}/bin/${applet}`);
}

/** Threads that the spawn thread started are in its cgroup, too, and stay: they go to the root first, so that nothing is left. */
async function removeParent(path: string): Promise<void> {
  const script = `for c in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -f $c${path}/monitors/tasks ] && for t in $(cat $c${path}/monitors/tasks); do echo $t >$c/tasks; done
    for d in $c${path}/monitors $c${path}; do [ ! -d $d ] || rmdir $d || exit 1; done
  done`;
  for (let tries = 0; tries < 50; tries++) {
    if ((await Bun.$`sh -c ${script}`.nothrow().quiet()).exitCode === 0) return;
    await Bun.sleep(20);
  }
  throw new Error(`cgroup ${path} stays`);
}
