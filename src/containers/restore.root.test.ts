import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventsAfter } from "../state/events.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { type Fixture, openFixture } from "./fixture.ts";

const root = process.getuid?.() === 0;

/** A daemon of containers alone, in a process of its own: makes what the test wants, says so, and is killed. Programs end once a file says so. */
const DAEMON = `
const { openFixture } = await import(${JSON.stringify(join(import.meta.dir, "fixture.ts"))});
const directory = process.argv[1];
const fixture = await openFixture(directory);
const start = async (name, cmd, host = {}) => {
  const { id } = await fixture.containers.create(name, { Image: "busybox", Cmd: cmd, HostConfig: { NetworkMode: "host", Binds: [directory + "/go:/go"], ...host } }, {});
  await fixture.containers.start(id);
};
const until = "while ! test -e /go/now; do sleep 0.05; done; ";
await start("ticker", ["sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done"]);
await start("nine", ["sh", "-c", until + "exit 9"]);
await start("again", ["sh", "-c", until + "exit 1"], { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 } });
await start("gone", ["sh", "-c", until], { AutoRemove: true });
await start("quiet", ["sleep", "1000"]);
const exec = await fixture.containers.createExec("quiet", { Cmd: ["sh", "-c", until + "exit 4"] });
await fixture.containers.startExec(exec, { tty: false });
await fixture.containers.create("never", { Image: "busybox", Cmd: ["true"], HostConfig: { RestartPolicy: { Name: "always" } } }, {});
const pids = [];
for (const name of ["nine", "again", "gone"]) pids.push((await fixture.containers.inspect(name)).State.Pid);
console.log("ready " + exec + " " + pids.join(","));
`;

describe.skipIf(!root)("kill -9 of the daemon", () => {
  test("containers run on; codes, logs, events and policies are right in the next daemon", async () => {
    const directory = (await Bun.$`mktemp -d /tmp/lighter-containers-XXXXXX`.text()).trim();
    mkdirSync(join(directory, "go"));
    const child = Bun.spawn([process.execPath, "-e", DAEMON, directory], { stdout: "pipe", stderr: "inherit" });
    const { exec, pids } = await readyLine(child.stdout);
    const killed = BigInt(Date.now()) * 1_000_000n;
    child.kill("SIGKILL");
    await child.exited;
    writeFileSync(join(directory, "go/now"), "");
    while (pids.some((pid) => existsSync(`/proc/${pid}`))) await Bun.sleep(20);
    // The monitors of three containers and one exec write down how they ended.
    const exits = new Bun.Glob("run/containers/**/exit");
    while ([...exits.scanSync(directory)].length < 4) await Bun.sleep(20);
    await Bun.sleep(200);
    const restarted = BigInt(Date.now()) * 1_000_000n;
    const fixture = await openFixture(directory);
    try {
      await check(fixture, exec, killed, restarted);
    } finally {
      await fixture.remove();
    }
    expect(existsSync(directory)).toBe(false);
  }, 60_000);
});

describe.skipIf(!root)("what a daemon left half done", () => {
  test("a pause that was not stored is undone; what of --rm does not run is removed", async () => {
    const first = await openFixture();
    const create = async (name: string, host: HostConfig): Promise<void> =>
      void (await first.containers.create(
        name,
        { Image: "busybox", Cmd: ["sleep", "100"], HostConfig: { NetworkMode: "host", ...host } },
        {},
      ));
    await create("frozen", {});
    await create("cut", { AutoRemove: true });
    await create("unstarted", { AutoRemove: true });
    await first.containers.start("frozen");
    await first.containers.pause("frozen");
    first.state.write(
      (tx) => {
        tx.run("UPDATE containers SET status = 'running' WHERE name = 'frozen'");
        tx.run("UPDATE containers SET status = 'starting' WHERE name = 'cut'");
      },
      { durable: false },
    );
    await first.close();
    const next = await openFixture(first.directory);
    try {
      await next.containers.stop("frozen", { timeout: 0 });
      expect((await next.containers.inspect("frozen")).State).toMatchObject({ Status: "exited", ExitCode: 137 });
      for (const name of ["cut", "unstarted"])
        expect(await next.containers.inspect(name).catch((error: Error) => error.message)).toBe(`No such container: ${name}`);
    } finally {
      await next.remove();
    }
  }, 60_000);
});

async function readyLine(stream: ReadableStream<Uint8Array>): Promise<{ exec: string; pids: number[] }> {
  let text = "";
  for await (const piece of stream) {
    text += Buffer.from(piece).toString();
    const [, exec, pids] = /ready (\w+) ([\d,]+)\n/.exec(text) ?? [];
    if (exec !== undefined && pids !== undefined) return { exec, pids: pids.split(",").map(Number) };
  }
  throw new Error(`the daemon said: ${text}`);
}

async function check(fixture: Fixture, exec: string, killed: bigint, restarted: bigint): Promise<void> {
  const { containers, state } = fixture;
  expect((await containers.inspect("nine")).State).toMatchObject({ Status: "exited", ExitCode: 9 });
  expect(containers.inspectExec(exec)).toMatchObject({ Running: false, ExitCode: 4 });
  expect((await containers.inspect("never")).State?.Status).toBe("created");
  expect(await containers.inspect("gone").catch((error: Error) => error.message)).toBe("No such container: gone");
  const events = eventsAfter(state, 0);
  const dies = events.filter(({ action, attributes }) => action === "die" && attributes["name"] === "nine");
  expect(dies.map(({ attributes }) => attributes["exitCode"])).toEqual(["9"]);
  const time = dies[0]?.time ?? 0n;
  expect(time > killed && time < restarted).toBe(true);

  const ranTwice = async (): Promise<boolean> => {
    const { State, RestartCount } = await containers.inspect("again");
    return State?.Status === "exited" && RestartCount === 1;
  };
  for (let tries = 0; tries < 1500 && !(await ranTwice()); tries++) await Bun.sleep(20);
  expect((await containers.inspect("again")).RestartCount).toBe(1);

  const pid = (await containers.inspect("ticker")).State?.Pid ?? 0;
  expect(existsSync(`/proc/${pid}`)).toBe(true);
  await Bun.sleep(100);
  await containers.kill("ticker", "KILL");
  await containers.wait("ticker", "not-running").result;
  let text = "";
  for await (const { data } of containers.logs("ticker", { stdout: true, stderr: true, follow: false }))
    text += Buffer.from(data).toString();
  const lines = text.trimEnd().split("\n");
  expect(lines.length).toBeGreaterThan(20);
  expect(lines).toEqual(lines.map((_, index) => `line ${index + 1}`));
}
