/** Interactive use on real terminals: job control, window size, detach and attach again. Deadline: 180 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { Terminal } from "./harness/terminal.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox", "debian"]);
}, 120_000);
afterAll(async () => await ground?.[Symbol.asyncDispose]());

/** Enters a command again and again until the screen shows what is wanted. */
async function shownBy(terminal: Terminal, command: string, pattern: RegExp): Promise<void> {
  const asked = async (): Promise<boolean> => {
    await terminal.enter(command);
    await Bun.sleep(300);
    return pattern.test(await terminal.screen());
  };
  await until(`${command} shows ${String(pattern)}`, asked);
}

for (const name of CLIENTS) {
  test(`${name}: run -it debian bash with job control`, async () => {
    await using terminal = await Terminal.open(ground.client(name).line("run", "-it", "--rm", "debian", "bash"));
    await terminal.shows(/root@[0-9a-f]{12}:\/#$/m);
    await terminal.enter("sh -c 'echo be''gun; exec sleep 100'");
    await terminal.shows(/^begun$/m);
    await terminal.type("\x1a");
    await terminal.shows(/\[1\]\+ +Stopped +sh -c/);
    await terminal.enter("bg; jobs");
    await terminal.shows(/\[1\]\+ +Running +sh -c .* &/);
    await terminal.enter("fg");
    await Bun.sleep(300);
    await terminal.type("\x03");
    await terminal.enter("echo code $?");
    await terminal.shows(/code 130/);
    await terminal.enter("tty; exit 6");
    const screen = await terminal.shows(/\[exit 6\]/);
    expect(screen).toMatch(/^\/dev\/(pts\/\d+|console)$/m);
    expect(screen).not.toMatch(/no job control|cannot set terminal process group/);
  });

  test(`${name}: the container knows the window's size, and its changes`, async () => {
    await using terminal = await Terminal.open(ground.client(name).line("run", "-it", "--rm", "busybox", "sh"), { columns: 91, rows: 31 });
    await terminal.shows(/\/ #$/m);
    // The first size may come a moment after the program has begun.
    await shownBy(terminal, "stty size", /^31 91$/m);
    await terminal.resize(77, 22);
    await shownBy(terminal, "stty size", /^22 77$/m);
    await terminal.enter("exit");
    await terminal.shows(/\[exit 0\]/);
  });

  test(`${name}: exec -it has a terminal, its size and the user's`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must("run", "-d", "--name", container, "busybox", "sleep", "600");
    await using terminal = await Terminal.open(client.line("exec", "-it", container, "sh"), { columns: 99, rows: 33 });
    await terminal.shows(/\/ #$/m);
    await terminal.enter("test -t 0 && test -t 1 && test -t 2 && echo all three");
    await terminal.shows(/^all three$/m);
    await shownBy(terminal, "stty size", /^33 99$/m);
    await terminal.resize(66, 20);
    await shownBy(terminal, "stty size", /^20 66$/m);
    await terminal.enter("exit 5");
    await terminal.shows(/\[exit 5\]/);
    await client.must("rm", "-f", container);
  });

  test(`${name}: detach by keys, attach again and type`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    {
      await using terminal = await Terminal.open(client.line("run", "-it", "--name", container, "busybox", "sh"));
      await terminal.shows(/\/ #$/m);
      await terminal.enter("VALUE=kept");
      await terminal.type("\x10\x11");
      await terminal.shows(/\[exit 0\]/);
    }
    expect(await client.must("inspect", "-f", "{{.State.Running}}", container)).toBe("true");
    await using terminal = await Terminal.open(client.line("attach", "--detach-keys", "ctrl-x,x", container));
    await Bun.sleep(500);
    await terminal.enter("echo value=$VALUE");
    await terminal.shows(/^value=kept$/m);
    await terminal.type("\x18x");
    await terminal.shows(/\[exit \d\]/);
    expect(await client.must("inspect", "-f", "{{.State.Running}}", container)).toBe("true");
    await client.must("rm", "-f", container);
  });

  test(`${name}: run -d, then attach to its terminal`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must("run", "-dit", "--name", container, "debian", "bash");
    await using terminal = await Terminal.open(client.line("attach", container));
    await Bun.sleep(500);
    await terminal.enter("echo $((6*7))");
    await terminal.shows(/^42$/m);
    await terminal.enter("exit 3");
    await terminal.shows(/\[exit 3\]/);
    await client.must("rm", container);
  });

  test(`${name}: the terminal is as before when the client ends`, async () => {
    const client = ground.client(name);
    await using terminal = await Terminal.open(
      `stty -a > ${ground.path("before")}; ${client.line("run", "-it", "--rm", "busybox", "true")}; stty -a > ${ground.path("after")}`,
    );
    await terminal.shows(/\[exit 0\]/);
    expect(await Bun.file(ground.path("after")).text()).toBe(await Bun.file(ground.path("before")).text());
  });
}

test("without a terminal -t is refused by the client, as Docker's does", async () => {
  const { code, stderr } = await ground.lighter.run(["run", "-it", "--rm", "busybox", "true"], { stdin: "" });
  expect(code).toBe(1);
  expect(stderr).toContain("the input device is not a TTY");
});

test("colours pass: TERM is xterm and escapes arrive untouched", async () => {
  const { stdout } = await ground.lighter.run(["run", "-t", "--rm", "busybox", "sh", "-c", "echo $TERM; printf '\\033[31mred\\033[0m\\n'"]);
  expect(stdout).toBe("xterm\r\n\u001b[31mred\u001b[0m\r\n");
});

test("a program that ends under a terminal shows all it wrote", async () => {
  for (let round = 0; round < 10; round++) {
    const { stdout } = await ground.lighter.run(["run", "-t", "--rm", "busybox", "seq", "3000"]);
    expect(stdout.endsWith("2999\r\n3000\r\n")).toBe(true);
    expect(stdout.split("\r\n").length).toBe(3001);
  }
});

test("resize over the API of a container that does not run is refused", async () => {
  const container = ground.name();
  await ground.lighter.must("create", "-t", "--name", container, "busybox");
  expect((await ground.daemon.api("POST", `/containers/${container}/resize?h=10&w=20`)).status).toBe(409);
  await ground.lighter.must("rm", container);
  await until("it is gone", async () => (await ground.daemon.api("GET", `/containers/${container}/json`)).status === 404);
});
