import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HostConfig } from "../wire/engine-api.ts";
import type { CreateBody } from "./containers.ts";
import { Collected, type Fixture, openFixture } from "./fixture.ts";

const root = process.getuid?.() === 0;
let fixture: Fixture;

beforeAll(async () => {
  if (root) fixture = await openFixture();
});
afterAll(async () => {
  if (root) await fixture.remove();
});

/** A body on the host's network. */
function body(cmd: string[], host: HostConfig = {}, more: Partial<CreateBody> = {}): CreateBody {
  return { Image: "busybox", Cmd: cmd, ...more, HostConfig: { NetworkMode: "host", ...host } };
}

async function make(cmd: string[], host: HostConfig = {}, more: Partial<CreateBody> = {}): Promise<string> {
  return (await fixture.containers.create(undefined, body(cmd, host, more), {})).id;
}

async function started(cmd: string[], host: HostConfig = {}, more: Partial<CreateBody> = {}): Promise<string> {
  const id = await make(cmd, host, more);
  await fixture.containers.start(id);
  return id;
}

async function run(
  cmd: string[],
  host: HostConfig = {},
  more: Partial<CreateBody> = {},
): Promise<{ out: string; err: string; code: number }> {
  const id = await make(cmd, { AutoRemove: true, ...host }, more);
  const sink = new Collected();
  const attachment = await fixture.containers.attach(id, sink, { logs: false, stream: true, stdin: false, stdout: true, stderr: true });
  const removed = fixture.containers.wait(id, "removed");
  await fixture.containers.start(id);
  const { statusCode } = await removed.result;
  await attachment.ended;
  return { out: sink.text(1), err: sink.text(2), code: statusCode };
}

async function logsOf(id: string, more: object = {}): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const { data } of fixture.containers.logs(id, { stdout: true, stderr: true, follow: false, ...more })) pieces.push(data);
  return Buffer.concat(pieces).toString();
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries++) {
    if (tries > 1000) throw new Error(`waited in vain until ${what}`);
    await Bun.sleep(20);
  }
}

async function exited(id: string): Promise<number> {
  return (await fixture.containers.wait(id, "not-running").result).statusCode;
}

async function failure(promise: Promise<unknown>): Promise<{ kind: string; message: string }> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error as { kind: string; message: string };
}

describe.skipIf(!root)("a container's life", () => {
  test("run --rm gives output and code, tells Docker's events, and leaves nothing", async () => {
    const before = fixture.actions().length;
    expect(await run(["sh", "-c", "echo out; echo err >&2; exit 3"])).toEqual({ out: "out\n", err: "err\n", code: 3 });
    expect(fixture.actions().slice(before)).toEqual(["create", "attach", "connect", "start", "die", "destroy"]);
    expect(readdirSync(join(fixture.directory, "data/containers"))).toEqual([]);
    await until("its places are gone", async () => readdirSync(join(fixture.directory, "run/containers")).length === 0);
    expect(await fixture.containers.list({ all: true, size: false, filters: new Map() })).toEqual([]);
  });

  test("confined as Docker: user, groups, capabilities, seccomp, name, environment, working directory, limits", async () => {
    const script =
      "id; grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status; hostname; pwd; echo $HOME $A; cat /etc/hosts /proc/sys/kernel/domainname; ulimit -n";
    const { out, code } = await run(
      ["sh", "-c", script],
      { SecurityOpt: ["no-new-privileges"], CapDrop: ["CHOWN"], Ulimits: [{ Name: "nofile", Soft: 100, Hard: 200 }] },
      { User: "ann", Hostname: "boat", Domainname: "sea", WorkingDir: "/made/here", Env: ["A=b c"] },
    );
    expect(out.split("\n")).toEqual([
      "uid=1000(ann) gid=1000(ann) groups=10(wheel),1000(ann)",
      "CapEff:\t0000000000000000",
      "NoNewPrivs:\t1",
      "Seccomp:\t2",
      "boat",
      "/made/here",
      "/home/ann b c",
      "127.0.0.1 localhost",
      "sea",
      "100",
      "",
    ]);
    expect(code).toBe(0);
  });

  test("root has the fourteen capabilities, privileged all that there are", async () => {
    expect((await run(["grep", "CapEff", "/proc/self/status"])).out).toBe("CapEff:\t00000000a80425fb\n");
    const { out } = await run(["sh", "-c", "grep Seccomp: /proc/self/status; test -w /proc/sys/kernel/hostname && echo writable"], {
      Privileged: true,
    });
    expect(out).toBe("Seccomp:\t0\nwritable\n");
  });

  test("limits reach the cgroup", async () => {
    const { out } = await run(
      [
        "sh",
        "-c",
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null",
      ],
      {
        Memory: 64 << 20,
        PidsLimit: 50,
        CgroupnsMode: "private",
      },
    );
    expect(out).toBe(`${64 << 20}\n50\n`);
  });

  test("read-only root, tmpfs, /dev/shm size, masked paths", async () => {
    const script =
      "touch /x 2>&1; touch /t/x && grep -c ' /t tmpfs' /proc/mounts; df -k /dev/shm | grep -c 1024; cat /proc/kcore /proc/keys | wc -c; touch /proc/sys/kernel/x 2>&1";
    const { out } = await run(["sh", "-c", script], { ReadonlyRootfs: true, Tmpfs: { "/t": "size=1m" }, ShmSize: 1 << 20 });
    expect(out.split("\n").slice(0, 4)).toEqual(["touch: /x: Read-only file system", "1", "1", "0"]);
  });

  test("a missing program: 127, Docker's text, nothing left but the reason", async () => {
    const id = await make(["nosuch", "x"]);
    const { kind, message } = await failure(fixture.containers.start(id));
    expect(kind).toBe("runtime");
    expect(message).toContain('exec: "nosuch": executable file not found in $PATH: unknown');
    const { State } = await fixture.containers.inspect(id);
    expect(State).toMatchObject({ Status: "created", ExitCode: 127, Running: false });
    expect(State?.Error).toContain("executable file not found");
    expect(existsSync(join(fixture.directory, "run/containers", id))).toBe(false);
    await fixture.containers.remove(id, { force: false, volumes: false, link: false });
  });

  test("a program that is not executable: 126; with --rm the container goes", async () => {
    const id = await make(["/etc/passwd"], { AutoRemove: true });
    const removed = fixture.containers.wait(id, "removed");
    expect((await failure(fixture.containers.start(id))).message).toContain('exec: "/etc/passwd": permission denied: unknown');
    expect((await removed.result).statusCode).toBe(126);
    expect((await failure(fixture.containers.inspect(id))).message).toBe(`No such container: ${id}`);
  });

  test("an unknown user is refused with Docker's text", async () => {
    const id = await make(["true"], {}, { User: "nobody-here" });
    expect((await failure(fixture.containers.start(id))).message).toBe(
      "unable to find user nobody-here: no matching entries in passwd file",
    );
    await fixture.containers.remove(id, { force: false, volumes: false, link: false });
  });

  test("stdin: a client that closes gives EOF, and what it wrote before the start arrives", async () => {
    const id = await make(["cat"], { AutoRemove: true }, { OpenStdin: true, StdinOnce: true, AttachStdin: true });
    const sink = new Collected();
    const attachment = await fixture.containers.attach(id, sink, { logs: false, stream: true, stdin: true, stdout: true, stderr: true });
    const written = attachment.write(Buffer.from("before\n"));
    const removed = fixture.containers.wait(id, "removed");
    await fixture.containers.start(id);
    await written;
    await attachment.write(Buffer.alloc(300_000, "x"));
    attachment.closeInput();
    expect((await removed.result).statusCode).toBe(0);
    await sink.ended;
    expect(sink.text().length).toBe(300_007);
  });

  test("logs come back exactly, with tail, since, streams and follow", async () => {
    const script = "printf 'a\\r\\nb'; printf 'err\\n' >&2; sleep 0.2; printf 'c\\n\\n'; printf '\\000\\377end'";
    const id = await started(["sh", "-c", script]);
    const followed = await logsOf(id, { follow: true, stderr: false });
    expect(followed).toBe(Buffer.from("a\r\nbc\n\n\u0000\ufffdend").toString());
    await exited(id);
    const pieces: Uint8Array[] = [];
    for await (const { data, stream } of fixture.containers.logs(id, { stdout: true, stderr: false, follow: false })) {
      expect(stream).toBe(1);
      pieces.push(data);
    }
    expect(Buffer.concat(pieces)).toEqual(Buffer.from("a\r\nbc\n\n\0\xffend", "latin1"));
    expect(await logsOf(id, { stdout: false })).toBe("err\n");
    expect((await logsOf(id, { tail: 2, stderr: false })).slice(0, 1)).toBe("\n");
    expect(await logsOf(id, { tail: 0 })).toBe("");
    await fixture.containers.remove(id, { force: false, volumes: false, link: false });
  });

  test("logs -f of many lines ends after the last one", async () => {
    const id = await started(["seq", "1", "20000"]);
    const text = await logsOf(id, { follow: true });
    expect(text).toBe(`${Array.from({ length: 20_000 }, (_, index) => index + 1).join("\n")}\n`);
    expect(await logsOf(id, { tail: 3 })).toBe("19998\n19999\n20000\n");
    await fixture.containers.remove(id, { force: true, volumes: false, link: false });
  });

  test("attach with logs replays and goes on, each byte once", async () => {
    const id = await started(["sh", "-c", "for i in 1 2 3; do echo $i; done; while ! test -e /tmp/go; do sleep 0.02; done; seq 4 6"]);
    await until("something is in the log", async () => (await logsOf(id)) !== "");
    const sink = new Collected();
    await fixture.containers.attach(id, sink, { logs: true, stream: true, stdin: false, stdout: true, stderr: true });
    writeFileSync(`/proc/${(await fixture.containers.inspect(id)).State?.Pid}/root/tmp/go`, "");
    await sink.ended;
    expect(sink.text()).toBe("1\n2\n3\n4\n5\n6\n");
    await fixture.containers.remove(id, { force: true, volumes: false, link: false });
  });

  test("stop lets the program end by itself, kills it after the timeout, and says 304 when it does not run", async () => {
    const polite = await started(["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"]);
    await until("it is ready", async () => (await logsOf(polite)) === "ready\n");
    const before = fixture.actions().length;
    await fixture.containers.stop(polite, {});
    expect(fixture.actions().slice(before)).toEqual(["kill", "die", "stop"]);
    expect(await exited(polite)).toBe(7);
    expect((await failure(fixture.containers.stop(polite, {}))).kind).toBe("not-modified");
    await fixture.containers.start(polite);
    expect((await failure(fixture.containers.start(polite))).kind).toBe("not-modified");
    await fixture.containers.kill(polite, "KILL");
    expect(await exited(polite)).toBe(137);
    const deaf = await started(["sleep", "100"]);
    const begun = performance.now();
    await fixture.containers.stop(deaf, { timeout: 1 });
    expect(performance.now() - begun).toBeGreaterThan(950);
    expect(await exited(deaf)).toBe(137);
    expect((await failure(fixture.containers.kill(deaf, "TERM"))).message).toBe(
      `cannot kill container: ${deaf}: container ${deaf} is not running`,
    );
    for (const id of [polite, deaf]) await fixture.containers.remove(id, { force: false, volumes: false, link: false });
  });

  test("stop, restart and rm -f take a process that ends at that very moment", async () => {
    const id = await started(["sleep", "100"]);
    fixture.containers.resize(id, { height: 10, width: 20 });
    for (let turn = 0; turn < 6; turn++) {
      await fixture.containers.stop(id, { timeout: 0, signal: "KILL" });
      expect(await exited(id)).toBe(137);
      await fixture.containers.start(id);
      await fixture.containers.restart(id, { timeout: 0, signal: "KILL" });
    }
    const asked = await fixture.containers.inspect(id);
    process.kill(asked.State?.Pid ?? 0, "SIGKILL");
    await fixture.containers.remove(id, { force: true, volumes: false, link: false });
  }, 30_000);

  test("restart policy on-failure: as many times as asked, then rest", async () => {
    const id = await started(["sh", "-c", "echo x; exit 2"], { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 2 } });
    await until("it has been started twice more", async () => {
      const { State, RestartCount } = await fixture.containers.inspect(id);
      return State?.Status === "exited" && RestartCount === 2;
    });
    expect(await fixture.containers.inspect(id)).toMatchObject({ RestartCount: 2, State: { Status: "exited", ExitCode: 2 } });
    expect(await logsOf(id)).toBe("x\nx\nx\n");
    await fixture.containers.remove(id, { force: true, volumes: false, link: false });
  });

  test("a stop during the wait for a restart ends the matter", async () => {
    const id = await started(["false"], { RestartPolicy: { Name: "always" } });
    while ((await fixture.containers.inspect(id)).State?.Status !== "restarting") await Bun.sleep(5);
    await fixture.containers.stop(id, {});
    await Bun.sleep(150);
    expect((await fixture.containers.inspect(id)).State?.Status).toBe("exited");
    await fixture.containers.remove(id, { force: false, volumes: false, link: false });
  });

  test("restart keeps a --rm container", async () => {
    const id = await started(["sleep", "100"], { AutoRemove: true });
    const first = (await fixture.containers.inspect(id)).State?.Pid;
    const before = fixture.actions().length;
    await fixture.containers.restart(id, { timeout: 0 });
    const { State } = await fixture.containers.inspect(id);
    expect(State?.Running).toBe(true);
    expect(State?.Pid).not.toBe(first);
    expect(fixture.actions().slice(before)).toEqual(["kill", "kill", "die", "stop", "connect", "start", "restart"]);
    await fixture.containers.remove(id, { force: true, volumes: false, link: false });
  });

  test("pause, unpause, and a kill of a paused container", async () => {
    const id = await started(["sleep", "100"]);
    await fixture.containers.pause(id);
    const [summary] = await fixture.containers.list({ all: false, size: false, filters: new Map() });
    expect(summary?.State).toBe("paused");
    expect(summary?.Status).toMatch(/^Up .* \(Paused\)$/);
    expect((await failure(fixture.containers.pause(id))).kind).toBe("conflict");
    await fixture.containers.unpause(id);
    await fixture.containers.pause(id);
    await fixture.containers.kill(id, "KILL");
    expect(await exited(id)).toBe(137);
    await fixture.containers.remove(id, { force: false, volumes: false, link: false });
  });

  test("names: in use, bad, changed", async () => {
    const { id } = await fixture.containers.create("boat", body(["true"]), {});
    expect((await failure(fixture.containers.create("/boat", body(["true"]), {}))).message).toBe(
      `Conflict. The container name "/boat" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
    );
    expect((await failure(fixture.containers.create("a b", body(["true"]), {}))).kind).toBe("invalid");
    await fixture.containers.rename("boat", "ship");
    expect((await fixture.containers.inspect("ship")).Name).toBe("/ship");
    expect((await fixture.containers.inspect(id.slice(0, 12))).Id).toBe(id);
    await fixture.containers.remove("ship", { force: false, volumes: false, link: false });
  });

  test("what is named beside the image must exist, else the request is wrong; namespaces are kept by id", async () => {
    const create = (host: HostConfig): ReturnType<typeof fixture.containers.create> =>
      fixture.containers.create(undefined, { ...body(["true"]), HostConfig: host }, {});
    for (const host of [{ PidMode: "container:lost" }, { IpcMode: "container:lost" }, { VolumesFrom: ["lost"] }])
      expect(await failure(create(host))).toMatchObject({ kind: "invalid", message: "No such container: lost" });
    expect((await failure(create({ Links: ["lost:found"] }))).message).toBe("could not get container for lost: No such container: lost");
    // As with Docker, the container whose network is joined is asked for by the start.
    const { id: alone } = await create({ NetworkMode: "container:lost" });
    expect(await failure(fixture.containers.start(alone))).toMatchObject({ kind: "not-found", message: "No such container: lost" });
    const { id: owner } = await fixture.containers.create("owner", body(["true"]), {});
    const { id } = await create({ NetworkMode: "container:owner", PidMode: `container:${owner.slice(0, 12)}` });
    const { HostConfig: kept } = await fixture.containers.inspect(id);
    expect(kept).toMatchObject({
      NetworkMode: `container:${owner}`,
      PidMode: `container:${owner}`,
      PidsLimit: null,
      MemorySwappiness: null,
    });
    for (const gone of [id, alone, owner]) await fixture.containers.remove(gone, { force: false, volumes: false, link: false });
  });

  test("remove refuses what runs, and takes it with force", async () => {
    const { id } = await fixture.containers.create("runner", body(["sleep", "100"]), {});
    await fixture.containers.start(id);
    expect(await failure(fixture.containers.remove(id, { force: false, volumes: false, link: false }))).toMatchObject({
      kind: "conflict",
      message: 'cannot remove container "/runner": container is running: stop the container before removing or force remove',
    });
    const removed = fixture.containers.wait(id, "removed");
    await fixture.containers.remove(id, { force: true, volumes: false, link: false });
    expect((await removed.result).statusCode).toBe(137);
  });

  test("volumes: copy-up, kept data, anonymous ones go with --rm", async () => {
    expect((await run(["sh", "-c", "cat /data/seed; id -u"], {}, { Image: "volumes" })).out).toBe("seed\n1000\n");
    expect(fixture.state.all("SELECT name FROM volumes")).toEqual([]);
    const before = fixture.actions().length;
    await run(["sh", "-c", "echo more > /data/more"], { Binds: ["shared:/data"] });
    expect(fixture.actions().slice(before)).toEqual(["create", "attach", "connect", "mount", "start", "die", "unmount", "destroy"]);
    expect((await run(["sh", "-c", "cat /data/seed /data/more; touch /data/x 2>&1"], { Binds: ["shared:/data:ro"] })).out).toBe(
      "seed\nmore\ntouch: /data/x: Read-only file system\n",
    );
    const made = join(fixture.directory, "made/by/bind");
    await run(["touch", "/b/file"], { Binds: [`${made}:/b`] });
    expect(readdirSync(made)).toEqual(["file"]);
    expect((await run(["sh", "-c", "cat /f; echo x 2>&1 >> /f"], { Binds: ["/etc/hostname:/f:ro"] })).out).toContain(
      "Read-only file system",
    );
  });

  test("--init reaps as process 1", async () => {
    expect((await run(["sh", "-c", "cat /proc/1/comm"], { Init: true })).out).toMatch(/init|tini|catatonit/);
  });
});
