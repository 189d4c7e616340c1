/** What containers may reach, by labels and by flags, through a kill -9 of the daemon; names and files of a container that changes its networks. Deadline: 150 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { HOST, Lab, OUTSIDE } from "../src/networks/lab.ts";
import { FULL, count } from "./harness/counts.ts";
import { figure } from "./harness/figures.ts";
import { Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
let lab: Lab;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  // Another machine, with a server and a name server that gives its address to every name.
  lab = await Lab.open();
  await lab.echo("outside", ["tcp:9000"], lab.outside);
  lab.spawn(["nsenter", `--net=${lab.outside}`, process.execPath, join(import.meta.dir, "../src/networks/lab-dns.ts"), OUTSIDE]);
});
afterAll(async () => {
  await ground?.[Symbol.asyncDispose]();
  lab?.close();
});

const SLEEP = ["busybox", "sleep", "1000"];
const fetchIt = (address: string): string[] => ["sh", "-c", `nc -w 3 ${address} 9000 2>&1 | head -n 1`];

async function said(container: string, command: string[]): Promise<string> {
  const { stdout } = await ground.lighter.run(["exec", container, ...command]);
  return stdout.trim();
}

async function reaches(container: string, address: string): Promise<void> {
  await until(`${container} reaches ${address}`, async () => (await said(container, fetchIt(address))) === `outside ${HOST}`);
}

async function reachesNot(container: string, address: string): Promise<void> {
  expect(await said(container, fetchIt(address))).not.toContain("outside");
}

test.each(["docker 20.10", "docker 26.1"] as const)(
  "%s: a label limits a container, an option a network; events tell what was refused",
  async (name) => {
    const client = ground.client(name);
    const [one, two] = [ground.name(), ground.name()];
    await client.must("run", "-d", "--name", one, "--label", "lighter.egress=example.org:9000/tcp", "--dns", OUTSIDE, ...SLEEP);
    await reachesNot(one, OUTSIDE);
    await reaches(one, "example.org");
    const network = `${one}-net`;
    await client.must("network", "create", "-o", "egress=none", network);
    await client.must("run", "-d", "--name", two, "--network", network, ...SLEEP);
    await reachesNot(two, OUTSIDE);
    const events = async (): Promise<string> =>
      await client.must(
        "events",
        "--since",
        "10m",
        "--until",
        "0s",
        "--filter",
        "event=egress-refused",
        "--format",
        "{{json .Actor.Attributes}}",
      );
    await until("both are told", async () => {
      const told = (await events()).split("\n").filter((line) => line.includes(`"address":"${OUTSIDE}"`) && line.includes('"port":"9000"'));
      const ids = await Promise.all([one, two].map((container) => client.must("inspect", "-f", "{{.Id}}", container)));
      return ids.every((id) => told.some((line) => line.includes(id)));
    });
    const refused = await client.run(["run", "--rm", "--network", "host", "--label", "lighter.egress=none", "busybox", "true"]);
    expect([refused.code, refused.stderr]).toEqual([
      expect.any(Number),
      expect.stringContaining("egress rules cannot be enforced in the host's network"),
    ]);
    await client.must("rm", "-f", one, two);
    await client.must("network", "rm", network);
  },
);

test("a container that was not limited from its start asks for names as one that was", async () => {
  const name = ground.name();
  await ground.lighter.must("run", "-d", "--name", name, "--dns", OUTSIDE, ...SLEEP);
  await reaches(name, OUTSIDE);
  await ground.lighter.must("update", "--egress-allow", "example.org:9000", name);
  await reachesNot(name, OUTSIDE);
  await reaches(name, "example.org");
  await ground.lighter.must("rm", "-f", name);
});

test("--egress-allow, update while it runs, and a daemon that is killed", async () => {
  const name = ground.name();
  await ground.lighter.must("run", "-d", "--name", name, "--egress", "none", "--dns", OUTSIDE, ...SLEEP);
  await reachesNot(name, OUTSIDE);
  await ground.lighter.must("update", "--egress-allow", "*.example.org:9000", name);
  await reaches(name, "www.example.org");
  expect(await ground.lighter.must("inspect", "-f", '{{index .Config.Labels "lighter.egress"}}', name)).toBe("*.example.org:9000");
  const wrong = await ground.lighter.run(["update", "--egress-allow", "example.org:http", name]);
  expect(wrong.stderr).toContain('invalid egress rule "example.org:http": invalid port "http"');
  await ground.daemon.end("SIGKILL");
  await ground.daemon.start();
  await reaches(name, OUTSIDE);
  await ground.lighter.must("update", "--egress", "none", name);
  await reachesNot(name, OUTSIDE);
  await ground.lighter.must("update", "--egress", "any", name);
  await reaches(name, OUTSIDE);
  await ground.lighter.must("rm", "-f", name);
  expect(await Bun.$`nft list tables`.text()).not.toContain("egress");
});

/** Kills the daemon and starts another; how long that takes to answer, in ms. */
async function timeOfStart(): Promise<number> {
  await ground.daemon.end("SIGKILL");
  const begun = performance.now();
  await ground.daemon.start();
  return performance.now() - begun;
}

test("a daemon that is killed opens the resolvers of running containers again", async () => {
  const network = `${ground.name()}-net`;
  await ground.lighter.must("network", "create", network);
  const alone = FULL ? await timeOfStart() : 0;
  const names = Array.from({ length: count(3, 40) }, () => ground.name());
  for (const name of names) await ground.lighter.must("run", "-d", "--name", name, "--network", network, ...SLEEP);
  const killed = await timeOfStart();
  const each = (killed - alone) / names.length;
  if (FULL) await figure("networks", `a daemon's start with ${names.length} resolvers to open again, for each (ms)`, each.toFixed(1));
  for (const name of names) expect(await said(name, ["nslookup", "-type=a", names[0] ?? ""])).toContain(`Name:\t${names[0]}`);
  await ground.lighter.must("rm", "-f", ...names);
  await ground.lighter.must("network", "rm", network);
});

test("hosts and resolv.conf of a container that joins a network and leaves it", async () => {
  const [one, peer, network] = [ground.name(), ground.name(), `${ground.name()}-net`];
  await ground.lighter.must("network", "create", network);
  await ground.lighter.must("run", "-d", "--name", peer, "--network", network, ...SLEEP);
  await ground.lighter.must("run", "-d", "--name", one, "--hostname", "first", ...SLEEP);
  const before = await said(one, ["cat", "/etc/hosts"]);
  await ground.lighter.must("network", "connect", network, one);
  const address = await ground.lighter.must("inspect", "-f", `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, one);
  expect(await said(one, ["cat", "/etc/hosts"])).toBe(`${before}\n${address}\tfirst`);
  expect(await said(one, ["cat", "/etc/resolv.conf"])).toContain("nameserver 127.0.0.11");
  expect(await said(one, ["nslookup", "-type=a", peer])).toContain(`Name:\t${peer}`);
  expect(await said(peer, ["nslookup", "-type=a", "first"])).toContain(address);
  await ground.lighter.must("network", "disconnect", network, one);
  expect(await said(one, ["cat", "/etc/hosts"])).toBe(before);
  await ground.lighter.must("rm", "-f", one, peer);
  await ground.lighter.must("network", "rm", network);
});
