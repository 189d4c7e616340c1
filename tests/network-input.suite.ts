/** What cannot be as a network is refused with what to do, and nothing of it stays; what somebody breaks behind our back is mended. Deadline: 180 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { must, run } from "../tools/shell.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(
    ["busybox"],
    ["--default-address-pool", "base=10.90.0.0/22,size=24", "--default-address-pool", "base=fd00:90::/56,size=64"],
  );
  await must([
    "sh",
    "-c",
    "ip link add lan0 type veth peer name lan1; ip addr add 192.0.2.7/24 dev lan0; ip link set lan0 up; ip link set lan1 up",
  ]);
  await ground.lighter.must("network", "create", "--subnet", "10.91.0.0/24", "taken");
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

const subnet = (Subnet: string, rest: object = {}): object => ({ IPAM: { Config: [{ Subnet, ...rest }] } });
const option = (name: string, value: string): object => ({ Options: { [`com.docker.network.${name}`]: value } });

test.each([
  [{ Name: "" }, 400, "name is empty"],
  [{ Name: "with space" }, 400, "invalid network name"],
  [{ Name: "-dash" }, 400, "invalid network name"],
  [{ Name: "../up" }, 400, "invalid network name"],
  [{ Name: "ünï" }, 400, "invalid network name"],
  [{ Name: "taken" }, 409, "network with name taken already exists"],
  [{ Name: "bridge" }, 403, "operation is not permitted on predefined bridge network"],
  [{ Driver: "none-such" }, 404, "none-such"],
  [{ Driver: "host" }, 403, 'only one instance of "host" network is allowed'],
  [{ EnableIPv4: false }, 400, "IPv4 or IPv6 must be enabled"],
  [subnet("10.91.0.128/25"), 403, "Pool overlaps with other one on this address space"],
  [subnet("10.0.0.0/8"), 403, "Pool overlaps with other one on this address space"],
  [subnet("10.92.0.0/33"), 400, "invalid CIDR address"],
  [subnet("10.92.0.1/24"), 400, "it should be 10.92.0.0/24"],
  [subnet("10.92.0.0/32"), 400, "no room for a gateway and a container"],
  [subnet("10.92.0.0/24", { Gateway: "10.93.0.1" }), 400, "invalid gateway 10.93.0.1: parent subnet is 10.92.0.0/24"],
  [subnet("10.92.0.0/24", { IPRange: "10.93.0.0/25" }), 400, "invalid ip-range 10.93.0.0/25: parent subnet is 10.92.0.0/24"],
  [subnet("10.92.0.0/24", { AuxiliaryAddresses: { a: "10.93.0.9" } }), 400, "invalid auxiliary address 10.93.0.9"],
  [{ IPAM: { Config: [{ Subnet: "10.92.0.0/24" }, { Subnet: "10.93.0.0/24" }] } }, 403, "bridge driver doesn't support multiple subnets"],
  [
    option("bridge.name", "lan0"),
    409,
    'bridge name "lan0" is in use by another link of the host (veth): give another com.docker.network.bridge.name',
  ],
  [option("bridge.name", "a name"), 400, "invalid bridge name"],
  [option("bridge.name", ".."), 400, "invalid bridge name"],
  [option("driver.mtu", "big"), 400, 'strconv.Atoi: parsing "big": invalid syntax'],
  [{ ConfigFrom: { Network: "taken" } }, 404, 'configuration network "taken" does not exist'],
])("create %j", async (body, status, text) => {
  const before = (await run(["ip", "-o", "link", "show", "type", "bridge"])).stdout;
  const refused = await ground.daemon.failure("POST", "/networks/create", { body: { Name: "wrong", ...body } });
  expect(refused).toEqual({ status, message: expect.stringContaining(text) });
  expect((await run(["ip", "-o", "link", "show", "type", "bridge"])).stdout).toBe(before);
  expect((await ground.daemon.json<{ Name: string }[]>("GET", "/networks")).map(({ Name }) => Name).sort()).toEqual([
    "bridge",
    "host",
    "none",
    "taken",
  ]);
});

test.each(CLIENTS)("%s: addresses that are taken, out of range or of nobody; a container stays as it was", async (name) => {
  const client = ground.client(name);
  const [first, second] = [ground.name(), ground.name()];
  await client.must("run", "-d", "--name", first, "--network", "taken", "--ip", "10.91.0.50", "busybox", "sleep", "600");
  const refused = await client.run(["run", "-d", "--name", second, "--network", "taken", "--ip", "10.91.0.50", "busybox", "sleep", "600"]);
  expect([refused.code, refused.stderr]).toEqual([125, expect.stringContaining("Address already in use")]);
  for (const ip of ["10.91.0.1", "10.95.0.9"]) {
    const { code, stderr } = await client.run(["run", "--rm", "--network", "taken", "--ip", ip, "busybox", "true"]);
    expect([code, stderr]).toEqual([
      125,
      expect.stringMatching(/Address already in use|no configured subnet contains IP address 10\.95\.0\.9/),
    ]);
  }
  const inUse = await client.run(["network", "rm", "taken"]);
  expect([inUse.code, inUse.stderr]).toEqual([1, expect.stringContaining("has active endpoints")]);
  await client.must("rm", "-f", first);
  await client.must("start", second);
  expect(await client.must("exec", second, "ip", "-o", "-4", "addr", "show", "eth0")).toContain("10.91.0.50/24");
  expect((await client.run(["network", "connect", "no-such", second])).stderr).toContain("network no-such not found");
  expect((await client.run(["network", "connect", "taken", second])).stderr).toContain("already exists in network taken");
  expect((await client.run(["network", "connect", "taken", "nobody"])).stderr).toContain("No such container: nobody");
  await client.must("rm", "-f", second);
});

test("pools that are used up say so, and how to go on; what is removed is given out again", async () => {
  const made: string[] = [];
  let refused = "";
  for (let index = 0; refused === "" && index < 9; index++) {
    const { code, stderr } = await ground.lighter.run(["network", "create", "--ipv6", `pool-${index}`]);
    if (code === 0) made.push(`pool-${index}`);
    else refused = stderr;
  }
  // One of the four pieces is the default bridge's.
  expect(made).toHaveLength(3);
  expect(refused).toContain("all predefined address pools have been fully subnetted: nothing is free in 10.90.0.0/22 (in pieces of /24)");
  expect(refused).toContain('add a pool to "default-address-pools" in daemon.json');
  const subnets = await ground.lighter.must("network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", ...made);
  expect(subnets.split("\n").map((line) => line.trim())).toEqual([
    "10.90.1.0/24 fd00:90::/64",
    "10.90.2.0/24 fd00:90:0:1::/64",
    "10.90.3.0/24 fd00:90:0:2::/64",
  ]);
  await ground.lighter.must("network", "rm", "pool-1");
  await ground.lighter.must("network", "create", "again");
  expect(await ground.lighter.must("network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}}{{end}}", "again")).toBe("10.90.2.0/24");
  await ground.lighter.must("network", "rm", "again", "pool-0", "pool-2");
});

test("a subnet that the host has elsewhere is made and warned of", async () => {
  const { stdout, stderr } = await ground.lighter.run(["network", "create", "--subnet", "192.0.2.128/25", "over"]);
  expect(stdout).toMatch(/^[0-9a-f]{64}\n$/);
  expect(stderr).toContain("WARNING: subnet 192.0.2.128/25 overlaps 192.0.2.0/24, which the host reaches by lan0");
  await ground.lighter.must("network", "rm", "over");
});

test("links and rules that somebody removes: the network works again by itself, and a container at its next start", async () => {
  await ground.lighter.must("network", "create", "-o", "com.docker.network.bridge.name=hit0", "--subnet", "10.96.0.0/24", "hit");
  const serve = "mkdir -p /www; echo here > /www/index.html; httpd -f -p 80 -h /www";
  await ground.lighter.must(
    "run",
    "-d",
    "--name",
    "web",
    "--network",
    "hit",
    "--ip",
    "10.96.0.9",
    "-p",
    "127.0.0.1:18080:80",
    "busybox",
    "sh",
    "-c",
    serve,
  );
  await ground.lighter.must("run", "-d", "--name", "peer", "--network", "hit", "busybox", "sleep", "600");
  const asked = async (): Promise<string> => (await ground.lighter.run(["exec", "peer", "wget", "-qO-", "http://10.96.0.9/"])).stdout;
  const published = async (): Promise<string> =>
    await (await fetch("http://127.0.0.1:18080/", { signal: AbortSignal.timeout(2000) })).text();
  const works = async (what: string): Promise<void> => {
    await until(`after ${what} the neighbour reaches it`, async () => (await asked()) === "here\n", { timeout: 30_000, every: 200 });
    await until(`after ${what} its port answers`, async () => (await published()) === "here\n", { timeout: 30_000, every: 200 });
  };
  await works("the start");
  await must(["ip", "link", "del", "hit0"]);
  await works("the bridge was removed");
  await must(["nft", "flush", "ruleset"]);
  await works("all rules were flushed");
  const wire = (await must(["sh", "-c", "ip -o link show master hit0 | sed 's/^[0-9]*: //; s/@.*//' | head -n 1"])).trim();
  await must(["ip", "link", "del", wire]);
  for (const name of ["web", "peer"]) await ground.lighter.must("restart", "-t", "0", name);
  await works("a wire was removed, at the next start");
  await ground.daemon.end();
  await must(["sh", "-c", `ip link del hit0; nft delete table inet ${ground.daemon.names.scope}`]);
  await ground.daemon.start();
  await works("both went while no daemon ran");
  await ground.lighter.must("rm", "-f", "web", "peer");
  await ground.lighter.must("network", "rm", "hit");
});
