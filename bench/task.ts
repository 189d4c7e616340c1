/**
 * `bun bench/task.ts [rounds]` (root): the life of one confined `busybox true` through `src/runtime`, split by step, against the floor:
 * `crun run` of the very same bundle, with the filter compiled before, spawned by the same thread into the same kind of mount namespace.
 * Both are run in turns; what is printed are milliseconds.
 */
import { constants, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { openFd } from "../src/linux/fd.ts";
import { openSpawner } from "../src/linux/spawner.ts";
import { ended } from "../src/runtime/conmon.ts";
import { readCgroupHost } from "../src/runtime/cgroup-host.ts";
import { Collected, openFixture } from "../src/runtime/fixture.ts";
import type { TaskSpec } from "../src/runtime/runtime.ts";

const rounds = Number(process.argv[2] ?? 40);
const STEPS = ["create", "bundle", "spawned", "created", "started", "exited", "deleted"];

const times = new Map<string, number[]>();
const note = (name: string, value: number): void => void times.set(name, [...(times.get(name) ?? []), value]);
let last = 0;
const fixture = await openFixture("crun", {
  trace: (_, step) => {
    const now = performance.now();
    note(step, now - last);
    last = now;
  },
});
const host = readCgroupHost();
const spawner = await openSpawner({
  hostMounts: openFd("/proc/self/ns/mnt", constants.O_RDONLY),
  tasksFiles: [],
  bindRoot: undefined,
  hybrid: host.hybrid,
});

async function ours(spec: TaskSpec): Promise<string> {
  const begun = (last = performance.now());
  const task = await fixture.runtime.create(spec);
  const sink = new Collected();
  const client = task.attach(sink, { stdin: false, stdout: true, stderr: true });
  const bundle = readFileSync(`${spec.directory}/config.json`, "utf8");
  await task.start();
  await task.exited;
  await client.ended;
  await task.delete();
  note("ours", performance.now() - begun);
  return bundle;
}

async function floor(spec: TaskSpec, bundle: string): Promise<void> {
  const directory = `${fixture.directory}/floor`;
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/config.json`, bundle);
  mkdirSync(`${fixture.options.execRoot}/rootfs/${spec.id}`, { recursive: true });
  const begun = performance.now();
  const pid = await spawner.spawn({
    argv: [spec.runtime.path, "--root", `${directory}/state`, "run", "--bundle", directory, spec.id],
    env: ["PATH=/usr/bin:/bin"],
    cwd: directory,
    fds: [-1, -1, 2],
    privateMounts: true,
    overlay: { target: `${fixture.options.execRoot}/rootfs/${spec.id}`, ...spec.rootfs },
  });
  const status = await ended(pid);
  note("crun run", performance.now() - begun);
  if (status !== 0) throw new Error(`crun run ended with ${status}`);
}

async function together(count: number): Promise<void> {
  const begun = performance.now();
  await Promise.all(
    [...Array(count).keys()].map(async () => {
      const task = await fixture.runtime.create(fixture.spec(["true"]));
      await task.start();
      await task.exited;
      await task.delete();
    }),
  );
  note(`${count} at once`, performance.now() - begun);
}

const quantile = (name: string, part: number): number => {
  const all = (times.get(name) ?? []).toSorted((a, b) => a - b);
  return all[Math.floor(all.length * part)] ?? 0;
};
/** The median, and the best tenth: what the machine does when nobody else uses it. */
const shown = (name: string, digits = 2): string =>
  `${name} ${quantile(name, 0.5).toFixed(digits)} (${quantile(name, 0.1).toFixed(digits)})`;

for (let round = -3; round < rounds; round++) {
  if (round === 0) times.clear();
  const spec = fixture.spec(["true"]);
  await floor(spec, await ours(spec));
}
console.log(`milliseconds, median and (best tenth) of ${rounds}: ${shown("crun run", 1)}   ${shown("ours", 1)}`);
console.log(STEPS.map((step) => shown(step)).join("   "));
for (let round = 0; round < 3; round++) await together(16);
console.log(shown("16 at once", 0));
spawner.close();
await fixture.close();
rmSync(fixture.directory, { recursive: true, force: true });
process.exit(0);
