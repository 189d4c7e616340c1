/** What is left of containers: nothing. And daemons side by side. Deadline: 150 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { count } from "./harness/counts.ts";
import { Daemon } from "./harness/daemon.ts";
import { figure } from "./harness/figures.ts";
import { Ground } from "./harness/ground.ts";
import { leftovers, type Leftovers, mayPool, onHost, pooled, withoutPool } from "./harness/leftovers.ts";
import { freePort } from "./harness/ports.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  // The pool of networks grows with demand and stays so: demand comes first.
  await Promise.all(Array.from({ length: 16 }, async () => await ground.lighter.must("run", "--rm", "busybox", "true")));
  await Bun.sleep(4000);
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

/**
 * Waits until the machine looks as before; the error shows the difference. Removal of files and refills of the pool take a moment; a pool that was still
 * filling before, or ran dry meanwhile, has more than before until it narrows, 30 s after it last ran dry.
 */
async function expectAsBefore(before: Leftovers, tidy?: () => Promise<void>): Promise<void> {
  let after = await leftovers(ground.daemon);
  const links = mayPool(before);
  const descriptors = before.descriptors + 4 + links - pooled(before);
  await until(
    "the machine looks as before",
    async () => {
      await tidy?.();
      after = await leftovers(ground.daemon);
      return Bun.deepEquals(withoutPool(after), withoutPool(before)) && pooled(after) <= links && after.descriptors <= descriptors;
    },
    { timeout: 40_000, every: 100 },
  ).catch(() => undefined);
  expect(withoutPool(after)).toEqual(withoutPool(before));
  expect(pooled(after)).toBeLessThanOrEqual(links);
  expect(after.descriptors).toBeLessThanOrEqual(descriptors);
}

test("run --rm, one after the other and at once, leaves nothing", async () => {
  const before = await leftovers(ground.daemon);
  for (let n = 0; n < count(5, 100); n++) expect((await ground.lighter.run(["run", "--rm", "busybox", "true"])).code).toBe(0);
  const rounds = count(1, 20);
  for (let round = 0; round < rounds; round++) {
    const all = await Promise.all(
      Array.from(
        { length: 16 },
        async (_, n) => await ground.lighter.run(["run", "--rm", "-v", "/anonymous", "busybox", "sh", "-c", `exit ${n}`]),
      ),
    );
    expect(all.map(({ code }) => code)).toEqual(Array.from({ length: 16 }, (_, n) => n));
  }
  await expectAsBefore(before);
  await figure(
    "spine",
    "run --rm, left behind",
    `${count(5, 100) + rounds * 16} containers, 0 mounts, cgroups, links, rules, processes or files`,
  );
});

test("containers with ports, execs, limits and volumes leave nothing once removed", async () => {
  const before = await leftovers(ground.daemon);
  const names = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const name = ground.name();
      await ground.lighter.must(
        "run",
        "-d",
        "--name",
        name,
        "-p",
        `${freePort()}:80`,
        "-p",
        `${freePort()}:53/udp`,
        "--memory",
        "64m",
        "-v",
        "/data",
        "busybox",
        "sleep",
        "600",
      );
      await ground.lighter.must("exec", name, "true");
      await ground.lighter.must("exec", "-d", name, "sleep", "600");
      return name;
    }),
  );
  await ground.lighter.must("rm", "-f", "-v", ...names);
  await expectAsBefore(before);
});

test("what fails to start leaves nothing once removed", async () => {
  const before = await leftovers(ground.daemon);
  for (const args of [["no-such-command"], ["/etc/passwd"]])
    expect([126, 127]).toContain((await ground.lighter.run(["run", "--rm", "busybox", ...args])).code);
  expect((await ground.lighter.run(["run", "--rm", "--workdir", "/etc/passwd/x", "busybox", "true"])).code).toBeGreaterThan(124);
  expect((await ground.lighter.run(["run", "--rm", "--user", "nobody-knows", "busybox", "true"])).code).toBeGreaterThan(124);
  expect(
    (await ground.lighter.run(["run", "--rm", "--network", "none", "-v", "/proc/no/such:/x", "busybox", "true"])).code,
  ).toBeGreaterThan(124);
  await expectAsBefore(before);
});

test("a client that dies at any point of run --rm leaves nothing", async () => {
  const before = await leftovers(ground.daemon);
  for (let n = 0; n < count(10, 100); n++) {
    const child = ground.lighter.spawn(["run", "--rm", "busybox", "sleep", "0.2"]);
    await Bun.sleep(n * 5);
    child.kill("SIGKILL");
    await child.exited;
  }
  await until("nothing runs", async () => (await ground.daemon.json<unknown[]>("GET", "/containers/json")).length === 0);
  // Docker, too, keeps what was created and never started; the last one may be on its way still.
  const tidy = async (): Promise<void> => {
    const created = await ground.daemon.json<{ Id: string }[]>("GET", "/containers/json?all=1");
    for (const { Id } of created) await ground.daemon.api("DELETE", `/containers/${Id}?force=1&v=1`);
  };
  await expectAsBefore(before, tidy);
});

test("every thread of the daemon stands in the machine's namespaces", async () => {
  const tasks = `/proc/${ground.daemon.pid}/task`;
  for (const kind of ["net", "pid", "ipc", "uts"]) {
    const own = await readlink(`/proc/self/ns/${kind}`);
    // While the pool is filled, a thread may be away for a moment.
    await until(`all threads stand in ${own}`, async () => {
      const seen = new Set(
        await Promise.all((await readdir(tasks)).map(async (task) => await readlink(join(tasks, task, "ns", kind)).catch(() => own))),
      );
      return seen.size === 1 && seen.has(own);
    });
  }
});

test("two daemons side by side do not meet", async () => {
  await using second = new Daemon(ground.path("second"));
  await second.start();
  expect(second.names).not.toEqual(ground.daemon.names);
  const env = { DOCKER_HOST: `unix://${second.socket}` };
  await ground.registry.push((await import("../tools/test-images.ts").then(({ testImage }) => testImage("busybox"))).layout, "busybox");
  expect((await ground.lighter.run(["pull", "-q", `${ground.registry.host}/busybox`], { env })).code).toBe(0);
  const here = (await ground.lighter.run(["run", "-d", "--name", "same", "busybox", "sleep", "600"])).stdout.trim();
  const there = (
    await ground.lighter.run(["run", "-d", "--name", "same", `${ground.registry.host}/busybox`, "sleep", "600"], { env })
  ).stdout.trim();
  expect(here).toMatch(/^[0-9a-f]{64}$/);
  expect(there).toMatch(/^[0-9a-f]{64}$/);
  const subnet = async (extra: Record<string, string>): Promise<string> =>
    (
      await ground.lighter.run(["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", "same"], { env: extra })
    ).stdout.trim();
  expect(await subnet({})).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
  expect(await subnet({})).not.toBe(await subnet(env));
  await second.end("SIGKILL");
  expect((await ground.lighter.run(["exec", "same", "true"])).code).toBe(0);
  await second.start();
  expect((await ground.lighter.run(["exec", "same", "true"], { env })).code).toBe(0);
  await ground.lighter.must("rm", "-f", "same");
});

test("a daemon that ends without containers leaves nothing on the host, even after one that was killed; with one, all stays", async () => {
  await using daemon = new Daemon(ground.path("ending"));
  const env = { DOCKER_HOST: `unix://${daemon.socket}` };
  const nothing = { cgroups: [], links: [], mounts: [], tables: [] };
  await daemon.start();
  expect((await ground.lighter.run(["run", "--rm", "-p", `${freePort()}:80`, "hello-world"], { env })).code).toBe(0);
  expect(await daemon.end()).toBe(0);
  expect(await onHost(daemon)).toEqual(nothing);
  await daemon.start();
  expect((await ground.lighter.run(["run", "--rm", "hello-world"], { env })).code).toBe(0);
  await daemon.end("SIGKILL");
  expect((await onHost(daemon)).tables).not.toEqual([]);
  await daemon.start();
  expect(await daemon.end()).toBe(0);
  expect(await onHost(daemon)).toEqual(nothing);

  await daemon.start();
  await ground.lighter.run(
    ["load", "-i", (await import("../tools/test-images.ts").then(({ testImage }) => testImage("busybox"))).archive],
    { env },
  );
  expect((await ground.lighter.run(["run", "-d", "--name", "on", "busybox", "sleep", "600"], { env })).code).toBe(0);
  expect(await daemon.end()).toBe(0);
  const { cgroups, links, tables } = await onHost(daemon);
  expect([cgroups.length > 0, links.length > 0, tables.length > 0]).toEqual([true, true, true]);
  await daemon.start();
  expect((await ground.lighter.run(["exec", "on", "true"], { env })).code).toBe(0);
  await ground.lighter.run(["rm", "-f", "on"], { env });
  expect(await daemon.end()).toBe(0);
  expect(await onHost(daemon)).toEqual(nothing);
});

test("a second daemon on the same data root is refused", async () => {
  const { dataRoot, folder } = ground.daemon;
  const [program = "", verb = ""] = ground.daemon.command;
  const second = Bun.spawn(
    [program, verb, "--data-root", dataRoot, "--exec-root", join(folder, "other-run"), "-H", `unix://${folder}/other.sock`],
    { stderr: "pipe", stdout: "pipe" },
  );
  const text = (await second.stderr.text()) + (await second.stdout.text());
  expect(await second.exited).toBe(1);
  expect(text).toContain(dataRoot);
  expect((await ground.daemon.api("GET", "/_ping")).status).toBe(200);
});
