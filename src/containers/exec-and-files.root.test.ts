import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { HostConfig } from "../wire/engine-api.ts";
import type { ExecCreateBody } from "./containers.ts";
import { Collected, type Fixture, openFixture } from "./fixture.ts";

/** Where a static busybox is. */
const BIN = dirname(Bun.which("busybox") ?? "/bin/busybox");

const root = process.getuid?.() === 0;
let fixture: Fixture;
let running: string;

beforeAll(async () => {
  if (!root) return;
  fixture = await openFixture();
  running = await started(["sleep", "1000"], { ReadonlyRootfs: false });
});
afterAll(async () => {
  if (root) await fixture.remove();
});

async function started(cmd: string[], host: HostConfig = {}): Promise<string> {
  const { id } = await fixture.containers.create(
    undefined,
    { Image: "busybox", Cmd: cmd, HostConfig: { NetworkMode: "host", ...host } },
    {},
  );
  await fixture.containers.start(id);
  return id;
}

async function exec(body: ExecCreateBody, input?: string): Promise<{ out: string; err: string; code: number | undefined }> {
  const id = await fixture.containers.createExec(running, { AttachStdout: true, AttachStderr: true, ...body });
  const sink = new Collected();
  const attachment = await fixture.containers.startExec(id, { sink, tty: body.Tty ?? false });
  if (input !== undefined) {
    await attachment?.write(Buffer.from(input));
    attachment?.closeInput();
  }
  await sink.ended;
  const { ExitCode, Running } = fixture.containers.inspectExec(id);
  expect(Running).toBe(false);
  return { out: sink.text(1), err: sink.text(2), code: ExitCode };
}

async function failure(promise: Promise<unknown>): Promise<{ kind: string; message: string }> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error as { kind: string; message: string };
}

async function tarOf(stream: ReadableStream<Uint8Array>, args: string[]): Promise<string> {
  const bytes = await new Response(stream).bytes();
  const child = Bun.spawn(["tar", ...args], { stdin: bytes, stdout: "pipe", stderr: "inherit" });
  return new Response(child.stdout).text();
}

describe.skipIf(!root)("exec", () => {
  test("gives both outputs and the code, known when the stream ends", async () => {
    const before = fixture.actions().length;
    expect(await exec({ Cmd: ["sh", "-c", "echo out; echo err >&2; exit 9"] })).toEqual({ out: "out\n", err: "err\n", code: 9 });
    expect(fixture.actions().slice(before)).toEqual([
      "exec_create: sh -c echo out; echo err >&2; exit 9",
      "exec_start: sh -c echo out; echo err >&2; exit 9",
      "exec_die",
    ]);
  });

  test("stdin, user, environment, directory", async () => {
    expect((await exec({ Cmd: ["cat"], AttachStdin: true }, "in\n")).out).toBe("in\n");
    const { out } = await exec({ Cmd: ["sh", "-c", "id -u; id -G; echo $A $HOME; pwd"], User: "ann", Env: ["A=1"], WorkingDir: "/tmp" });
    expect(out).toBe("1000\n1000 10\n1 /home/ann\n/tmp\n");
  });

  test("confined like its container; privileged on request", async () => {
    const script = "grep -E 'CapEff|Seccomp:' /proc/self/status";
    expect((await exec({ Cmd: ["sh", "-c", script] })).out).toBe("CapEff:\t00000000a80425fb\nSeccomp:\t2\n");
    expect((await exec({ Cmd: ["sh", "-c", "grep CapEff /proc/self/status"], Privileged: true })).out).not.toContain("a80425fb");
  });

  test("a terminal", async () => {
    const { out, code } = await exec({ Cmd: ["sh", "-c", "test -t 0 && echo tty $TERM"], Tty: true, AttachStdin: true });
    expect(out).toBe("tty xterm\r\n");
    expect(code).toBe(0);
  });

  test("a missing program: Docker's text, 127 in inspect", async () => {
    const id = await fixture.containers.createExec(running, { Cmd: ["nosuch"], AttachStdout: true });
    const { kind, message } = await failure(fixture.containers.startExec(id, { sink: new Collected(), tty: false }));
    expect(kind).toBe("runtime");
    expect(message).toBe(
      'OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown',
    );
    expect(fixture.containers.inspectExec(id)).toMatchObject({ Running: false, ExitCode: 127 });
    expect((await failure(fixture.containers.startExec(id, { tty: false }))).message).toBe(`exec ${id} has already run`);
  });

  test("an unknown user is a refusal in the stream: 126 in inspect", async () => {
    const id = await fixture.containers.createExec(running, { Cmd: ["true"], User: "bob" });
    expect(await failure(fixture.containers.startExec(id, { tty: false }))).toMatchObject({
      kind: "runtime",
      message: "unable to find user bob: no matching entries in passwd file",
    });
    expect(fixture.containers.inspectExec(id).ExitCode).toBe(126);
  });

  test("detached; ends with its container", async () => {
    const other = await started(["sleep", "1000"]);
    const id = await fixture.containers.createExec(other, { Cmd: ["sleep", "500"] });
    expect(await fixture.containers.startExec(id, { tty: false })).toBeUndefined();
    expect((await fixture.containers.inspect(other)).ExecIDs).toEqual([id]);
    expect(fixture.containers.inspectExec(id)).toMatchObject({ Running: true, ExitCode: null });
    await fixture.containers.kill(other, "KILL");
    for (let tries = 0; tries < 1500 && fixture.containers.inspectExec(id).Running; tries++) await Bun.sleep(20);
    expect(fixture.containers.inspectExec(id).Running).toBe(false);
    expect((await failure(fixture.containers.createExec(other, { Cmd: ["true"] }))).message).toBe(`container ${other} is not running`);
    await fixture.containers.remove(other, { force: true, volumes: false, link: false });
  });
});

describe.skipIf(!root)("files", () => {
  test("stat of a directory, a link and nothing", async () => {
    expect(await fixture.containers.stat(running, "/etc")).toMatchObject({ name: "etc", mode: 2 ** 31 + 0o755, linkTarget: "" });
    expect(await fixture.containers.stat(running, "/bin/sh")).toMatchObject({
      name: "sh",
      mode: 2 ** 27 + 0o777,
      linkTarget: "/bin/busybox",
    });
    expect(await failure(fixture.containers.stat(running, "/none"))).toMatchObject({ kind: "not-found" });
  });

  test("archive and extract of a running and of a stopped container", async () => {
    const stopped = await started(["sh", "-c", "echo own > /root/own"]);
    await fixture.containers.wait(stopped, "not-running").result;
    for (const id of [running, stopped]) {
      const pack = Bun.spawn(["tar", "-c", "-C", BIN, "--transform", "s/busybox/inside\\/copy/", "busybox"], { stdout: "pipe" });
      await fixture.containers.extract(id, "/root", pack.stdout, { noOverwriteDirNonDir: false, copyUidGid: false });
      const { stat, tar } = await fixture.containers.archive(id, "/root/inside");
      expect(stat.name).toBe("inside");
      expect((await tarOf(tar, ["-t"])).split("\n").sort()).toEqual(["", "inside/", "inside/copy"]);
      const dot = await fixture.containers.archive(id, "/root/inside/.");
      expect((await tarOf(dot.tar, ["-t"])).split("\n").sort()).toEqual(["", "./", "./copy"]);
    }
    const { tar } = await fixture.containers.archive(stopped, "/root/own");
    expect(await tarOf(tar, ["-xO"])).toBe("own\n");
    const changes = await fixture.containers.changes(stopped);
    expect(changes).toEqual([
      { Path: "/root", Kind: 0 },
      { Path: "/root/inside", Kind: 1 },
      { Path: "/root/inside/copy", Kind: 1 },
      { Path: "/root/own", Kind: 1 },
    ]);
    // The writable layer is whole: the container starts again.
    await fixture.containers.start(stopped);
    await fixture.containers.remove(stopped, { force: true, volumes: false, link: false });
  });

  test("with copyUIDGID files become the configured user's; without a user, or without it, owners stay", async () => {
    const cases = [
      { User: "7:8", copyUidGid: true, owner: "7/8" },
      { User: "7:8", copyUidGid: false, owner: "1000/1001" },
      { User: "", copyUidGid: true, owner: "1000/1001" },
    ];
    for (const { User, copyUidGid, owner } of cases) {
      const { id } = await fixture.containers.create(undefined, { Image: "busybox", User, Cmd: ["true"] }, {});
      const pack = Bun.spawn(["tar", "-c", "-C", "/etc", "--owner=:1000", "--group=:1001", "hostname"], { stdout: "pipe" });
      await fixture.containers.extract(id, "/root", pack.stdout, { noOverwriteDirNonDir: false, copyUidGid });
      const { tar } = await fixture.containers.archive(id, "/root/hostname");
      expect(await tarOf(tar, ["-tv", "--numeric-owner"])).toContain(` ${owner} `);
      await fixture.containers.remove(id, { force: false, volumes: false, link: false });
    }
  });

  test("volumes of a stopped container are seen where they will be; read-only targets are refused", async () => {
    const source = join(fixture.directory, "bound");
    mkdirSync(source);
    writeFileSync(join(source, "file"), "bound\n");
    const { id } = await fixture.containers.create(
      undefined,
      { Image: "busybox", Cmd: ["true"], HostConfig: { NetworkMode: "host", Binds: [`${source}:/b:ro`] } },
      {},
    );
    const { tar } = await fixture.containers.archive(id, "/b/file");
    expect(await tarOf(tar, ["-xO"])).toBe("bound\n");
    const winding = await fixture.containers.archive(id, "/etc/..//b/./file");
    expect(await tarOf(winding.tar, ["-xO"])).toBe("bound\n");
    const pack = Bun.spawn(["tar", "-c", "-C", BIN, "busybox"], { stdout: "pipe" });
    expect(
      await failure(fixture.containers.extract(id, "/b", pack.stdout, { noOverwriteDirNonDir: false, copyUidGid: false })),
    ).toMatchObject({
      kind: "forbidden",
    });
    await fixture.containers.remove(id, { force: false, volumes: false, link: false });
  });

  test("a client that takes nothing any more does not keep a container from being removed", async () => {
    const { id } = await fixture.containers.create(undefined, { Image: "busybox", Cmd: ["true"], HostConfig: { NetworkMode: "host" } }, {});
    const { tar } = await fixture.containers.archive(id, "/bin");
    await fixture.containers.remove(id, { force: true, volumes: false, link: false });
    expect(await failure(fixture.containers.stat(id, "/"))).toMatchObject({ kind: "not-found" });
    await tar.cancel();
  });

  test("a volume of a container that never ran takes files and has the image's", async () => {
    const { id } = await fixture.containers.create(
      undefined,
      { Image: "busybox", Cmd: ["true"], Volumes: { "/etc": {} }, HostConfig: { NetworkMode: "host" } },
      {},
    );
    const pack = Bun.spawn(["tar", "-c", "-C", BIN, "busybox"], { stdout: "pipe" });
    await fixture.containers.extract(id, "/etc", pack.stdout, { noOverwriteDirNonDir: false, copyUidGid: false });
    const names = (await tarOf((await fixture.containers.archive(id, "/etc")).tar, ["-t"])).split("\n");
    expect(names[0]).toBe("etc/");
    expect(names).toContain("etc/busybox");
    expect(names).toContain("etc/passwd");
    await fixture.containers.remove(id, { force: false, volumes: true, link: false });
  });

  test("every container has /.dockerenv, which is no change of its own", async () => {
    const { id } = await fixture.containers.create(undefined, { Image: "busybox", HostConfig: { NetworkMode: "host" } }, {});
    expect(await fixture.containers.stat(id, "/.dockerenv")).toMatchObject({ name: ".dockerenv", size: 0, mode: 0o755 });
    expect(await fixture.containers.changes(id)).toEqual([]);
    await fixture.containers.remove(id, { force: false, volumes: true, link: false });
  });

  test("export has the image's and the container's files, and no mounts", async () => {
    await exec({ Cmd: ["sh", "-c", "echo new > /root/new; rm /data/seed"] });
    const names = new Set((await tarOf(await fixture.containers.export(running), ["-t"])).split("\n"));
    expect(names.has("root/new")).toBe(true);
    expect(names.has("bin/busybox")).toBe(true);
    expect(names.has("data/seed")).toBe(false);
    expect([...names].filter((name) => name.startsWith("proc/"))).toEqual(["proc/"]);
  });

  test("top shows the container's processes", async () => {
    const { Titles, Processes } = await fixture.containers.top(running, "");
    expect(Titles.slice(0, 3)).toEqual(["UID", "PID", "PPID"]);
    expect(Processes.map((row) => row.at(-1))).toEqual(["sleep 1000"]);
    expect((await fixture.containers.top(running, "-o pid,comm")).Processes.map((row) => row[1])).toEqual(["sleep"]);
  });
});
