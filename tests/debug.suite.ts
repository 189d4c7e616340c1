/** `lighter debug`: tools in containers that have none, in the files of stopped ones and of images. Deadline: 90 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { staticBusybox } from "../tools/programs.ts";
import { must } from "../tools/shell.ts";
import type { Outcome, ShellOptions } from "../tools/shell.ts";
import { Ground } from "./harness/ground.ts";
import { leftovers, mayPool, pooled, withoutPool } from "./harness/leftovers.ts";
import { Terminal } from "./harness/terminal.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
let path: string;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  const busybox = await staticBusybox();
  path = `${dirname(busybox)}:${process.env["PATH"] ?? ""}`;
  // An image with one program and no shell.
  const root = ground.path("bare");
  await mkdir(join(root, "etc"), { recursive: true });
  await copyFile(busybox, join(root, "sleep"));
  await chmod(join(root, "sleep"), 0o755);
  await Bun.write(join(root, "etc/app.conf"), "bare\n");
  await must(["tar", "-C", root, "-cf", ground.path("bare.tar"), "."]);
  await ground.lighter.must("import", ground.path("bare.tar"), "bare");
  await ground.lighter.must(
    "run",
    "-d",
    "--name",
    "bare",
    "--hostname",
    "barehost",
    "--user",
    "1234",
    "-v",
    "/data",
    "bare",
    "/sleep",
    "600",
  );
  // The image of tools is made by the first call.
  expect(await debug(["bare", "true"])).toMatchObject({ code: 0 });
}, 120_000);
afterAll(async () => await ground?.[Symbol.asyncDispose]());

function debug(args: string[], options: ShellOptions = {}): Promise<Outcome> {
  return ground.lighter.run(["debug", ...args], { ...options, env: { PATH: path } });
}

test("the processes, host name, network and files of a container without a shell", async () => {
  const address = await ground.lighter.must("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "bare");
  const line =
    "hostname; pwd; cat etc/app.conf; ps -o user,args | grep '[/]sleep'; ip -4 addr show dev eth0 | grep -o 'inet [0-9.]*'; stat -L -c %i /proc/self/ns/ipc; touch /target/etc/left";
  const { code, stdout, stderr } = await debug(["-c", line, "bare"]);
  expect([code, stderr]).toEqual([0, ""]);
  const { State } = await ground.daemon.json<{ State: { Pid: number } }>("GET", "/containers/bare/json");
  const ipc = (await must(["stat", "-L", "-c", "%i", `/proc/${State.Pid}/ns/ipc`])).trim();
  expect(stdout).toBe(`barehost\n/target\nbare\n1234     /sleep 600\ninet ${address}\n${ipc}\n`);
  expect(await ground.lighter.must("diff", "bare")).toContain("A /etc/left");
  expect(await ground.lighter.must("inspect", "-f", "{{.State.Running}} {{.Config.Hostname}}", "bare")).toBe("true barehost");
});

test("exit codes, commands, input from a pipe", async () => {
  expect((await debug(["-c", "exit 7", "bare"])).code).toBe(7);
  expect((await debug(["bare", "sh", "-c", "kill -9 $$"])).code).toBe(137);
  expect((await debug(["bare", "no-such-tool"])).code).toBe(127);
  expect(await debug(["bare", "cat"], { stdin: "through\n" })).toMatchObject({ code: 0, stdout: "through\n" });
  expect(await debug(["bare"], { stdin: "echo $((6*7)); exit 3\n" })).toMatchObject({ code: 3, stdout: "42\n" });
  expect(await debug(["nobody"])).toMatchObject({ code: 1, stderr: "No such container or image: nobody\n" });
  expect((await debug(["-c", "x", "bare", "y"])).code).toBe(1);
  expect(await debug(["--image", "busybox", "bare", "cat", "/target/etc/app.conf"])).toMatchObject({ code: 0, stdout: "bare\n" });
});

test("changes in a stopped container's files stick, its volumes are where they will be", async () => {
  await ground.lighter.must("create", "--name", "stopped", "-v", "/data", "bare", "/sleep", "1");
  expect(await debug(["-c", "echo new > etc/new; rm etc/app.conf; echo v > data/v; ps | grep -c '[/]sleep'", "stopped"])).toMatchObject({
    stdout: "0\n",
  });
  expect(await ground.lighter.must("diff", "stopped")).toBe("A /data\nC /etc\nD /etc/app.conf\nA /etc/new");
  expect(await debug(["stopped", "cat", "etc/new", "data/v"])).toMatchObject({ code: 0, stdout: "new\nv\n" });
  expect(await ground.lighter.must("start", "stopped")).toBe("stopped");
  await ground.lighter.must("wait", "stopped");
  await ground.lighter.must("rm", "-v", "stopped");
});

test("an image's files can be changed, and the changes are thrown away", async () => {
  const before = await ground.daemon.json<object>("GET", "/images/bare/json");
  expect(await debug(["-c", "echo other > etc/app.conf; cat etc/app.conf; ls", "bare:latest"])).toMatchObject({
    stdout: "other\netc\nsleep\n",
  });
  expect(await debug(["bare:latest", "cat", "etc/app.conf"])).toMatchObject({ stdout: "bare\n" });
  expect(await ground.daemon.json<object>("GET", "/images/bare/json")).toEqual(before);
});

test("while a stopped container's files are open nobody else mounts them, after a crash of the daemon neither", async () => {
  await ground.lighter.must("create", "--name", "open", "bare", "/sleep", "600");
  const body = {
    Image: "busybox",
    Cmd: ["sleep", "600"],
    Labels: { of: "open" },
    HostConfig: { AutoRemove: true, DebugContainer: "open" },
  };
  const { Id } = await ground.daemon.json<{ Id: string }>("POST", "/containers/create?name=session", { body });
  await ground.lighter.must("start", Id);
  const refused = /Cannot [a-z ]+ container "open": its files are open in the debug session "session"/;
  const all = async (): Promise<void> => {
    expect((await ground.lighter.run(["start", "open"])).stderr).toMatch(refused);
    expect((await ground.lighter.run(["rm", "open"])).stderr).toMatch(refused);
    expect((await ground.lighter.run(["cp", "open:/etc/app.conf", "-"])).stderr).toMatch(refused);
  };
  await all();
  await ground.daemon.end("SIGKILL");
  await ground.daemon.start();
  await all();
  await ground.lighter.must("rm", "-f", "session");
  await ground.lighter.must("start", "open");
  await ground.lighter.must("rm", "-f", "open");
});

test("a terminal: the shell is interactive, and knows its size", async () => {
  const { lighter } = ground;
  await using terminal = await Terminal.open(`env PATH=${path} ${lighter.line("debug", "bare")}`, { columns: 91, rows: 27 });
  await terminal.shows(/bare:\/target #$/m);
  await terminal.enter("stty size; tty; exit 5");
  expect(await terminal.shows(/\[exit 5\]/)).toMatch(/^27 91\n\/dev\/(pts\/\d+|console)$/m);
});

test("nothing is left behind: of sessions that end, are cut off, or cannot start", async () => {
  await ground.lighter.must("create", "--name", "clean", "bare", "/sleep", "1");
  const before = await leftovers(ground.daemon);
  await debug(["bare", "true"]);
  await debug(["clean", "true"]);
  await debug(["bare:latest", "touch", "/target/x"]);
  await debug(["clean", "no-such-tool"]);
  const child = Bun.spawn([ground.lighter.program, "debug", "-c", "echo up; sleep 600", "clean"], {
    env: { ...process.env, ...ground.lighter.env, PATH: path },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
  });
  await child.stdout.getReader().read();
  child.kill("SIGTERM");
  expect(await child.exited).toBe(143);
  let now = await leftovers(ground.daemon);
  await until("all is as it was", async () => {
    now = await leftovers(ground.daemon);
    return Bun.deepEquals(withoutPool(now), withoutPool(before)) && pooled(now) <= mayPool(before);
  }).catch(() => expect(withoutPool(now)).toEqual(withoutPool(before)));
  expect(await ground.lighter.must("diff", "clean")).toBe("");
});
