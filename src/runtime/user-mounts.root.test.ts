import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, closeSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { closeFd } from "../linux/fd.ts";
import { Collected, type Fixture, openFixture, until } from "./fixture.ts";
import type { TaskSpec } from "./runtime.ts";

const range = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
const MAP = { uid: range, gid: range };

const RUNTIMES = ["crun", "runc"].filter((name) => Bun.which(name) !== null);

describe.skipIf(process.getuid?.() !== 0).each(RUNTIMES)("users of their own with %s", (name) => {
  let fixture: Fixture;
  beforeAll(async () => {
    fixture = await openFixture(name);
    chmodSync(fixture.directory, 0o711);
  });
  afterAll(async () => await fixture.close());

  /** Runs a task in a user namespace to its end; what it printed. */
  async function run(spec: TaskSpec, mapped: readonly string[] = []): Promise<string> {
    const own = await fixture.runtime.ownNamespaces(MAP);
    try {
      const network = { type: "network" as const, path: `/proc/${process.pid}/fd/${own.network}` };
      const namespaces = spec.spec.linux.namespaces.filter(({ type }) => type !== "network");
      const linux = { ...spec.spec.linux, namespaces: [...namespaces, network] };
      const task = await fixture.runtime.create({
        ...spec,
        spec: { ...spec.spec, linux },
        users: { namespace: own.user, map: MAP, mapped },
      });
      const sink = new Collected();
      task.attach(sink, { stdin: false, stdout: true, stderr: true });
      await task.start();
      await task.exited;
      await until(() => sink.ended);
      await task.delete();
      return sink.text();
    } finally {
      closeFd(own.user, own.network);
    }
  }

  test("what is on the disk belongs to the numbers inside, and pipes to root", async () => {
    const spec = fixture.spec(["sh", "-c", "id -u; echo x > /made; ls -ln /made | grep -c ' 0 .* 0 '; echo out > /proc/self/fd/1"]);
    expect(await run(spec)).toBe("0\n1\nout\n");
    expect(lstatSync(`${spec.rootfs.upper}/made`).uid).toBe(0);
    expect(readdirSync(`${fixture.options.execRoot}/rootfs`)).toEqual([]);
  });

  test("binds show whom they belong to, or the numbers inside; sources may be where only the host's root comes", async () => {
    const closed = `${fixture.directory}/closed-${name}`;
    for (const place of ["host", "own"]) {
      mkdirSync(`${closed}/${place}`, { recursive: true });
      chmodSync(`${closed}/${place}`, 0o777);
      writeFileSync(`${closed}/${place}/file`, "");
    }
    chmodSync(closed, 0o700);
    const mounts = ["host", "own"].map((place) => ({
      destination: `/${place}`,
      type: "bind",
      source: `${closed}/${place}`,
      options: ["rbind", "rprivate"],
    }));
    const spec = fixture.spec(["sh", "-c", "ls -ln /host/file /own/file | grep -c ' 65534 '; touch /host/new /own/new; ls -ln /own/file"], {
      mounts,
    });
    expect(await run(spec, ["/own"])).toMatch(/^1\n-.* 0 +0 .*file\n$/);
    expect([statSync(`${closed}/host/new`).uid, statSync(`${closed}/own/new`).uid]).toEqual([100_000, 0]);
  });

  test("more layers than the paths of fit into the options of a mount", async () => {
    const lower = [...Array(120).keys()].map((number) => `${fixture.directory}/mapped-layers-${name}/${"long-name-".repeat(6)}${number}`);
    for (const [index, directory] of lower.entries()) {
      mkdirSync(directory, { recursive: true });
      writeFileSync(`${directory}/${index}`, "");
    }
    const spec = fixture.spec(["sh", "-c", "ls -ln / | grep -c ' 0 .* [0-9]*$'; ls -ln / | grep -c ' 65534 '; touch /upper"]);
    spec.rootfs = { ...spec.rootfs, lower: [...lower, ...spec.rootfs.lower] };
    const [all = "", nobody] = (await run(spec)).split("\n");
    expect(Number(all)).toBeGreaterThanOrEqual(120);
    expect(nobody).toBe("2"); // /proc and /sys
    expect(statSync(`${spec.rootfs.upper}/upper`).uid).toBe(0);
  });

  test("a second run finds what the first one wrote, and so does the host", async () => {
    const spec = fixture.spec(["sh", "-c", "mkdir /kept; echo mine > /kept/file; rm /etc/passwd || true"]);
    await run(spec);
    const fd = await fixture.runtime.openRoot(spec.rootfs);
    expect(readFileSync(`/proc/self/fd/${fd}/kept/file`, "utf8")).toBe("mine\n");
    writeFileSync(`/proc/self/fd/${fd}/kept/given`, "");
    closeSync(fd);
    const again = fixture.spec(["sh", "-c", "ls -ln /kept/file /kept/given | grep -c ' 0 .* 0 '"], { rootfs: spec.rootfs });
    expect(await run(again)).toBe("2\n");
    expect(existsSync(`${spec.rootfs.upper}/kept/given`)).toBe(true);
  });

  test("a namespace that is joined is the same, and this process shows itself to others as before", async () => {
    const own = await fixture.runtime.ownNamespaces(MAP);
    const other = await fixture.runtime.ownNamespaces(MAP, `/proc/${process.pid}/fd/${own.user}`);
    const inode = (fd: number): bigint => statSync(`/proc/self/fd/${fd}`, { bigint: true }).ino;
    expect(inode(other.user)).toBe(inode(own.user));
    expect(inode(other.network)).not.toBe(inode(own.network));
    closeFd(own.user, own.network, other.user, other.network);
    expect(readFileSync("/proc/self/status", "utf8")).toMatch(/^Uid:\t0\t0\t0\t0$/m);
  });
});
