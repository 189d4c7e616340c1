/** Every `network` command with its flags, by our client and docker's. Deadline: 300 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Client } from "./harness/client.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

interface Inspected {
  Id: string;
  Name: string;
  Driver: string;
  EnableIPv6: boolean;
  Internal: boolean;
  Attachable: boolean;
  IPAM: { Driver: string; Config: Record<string, unknown>[] };
  Options: Record<string, string>;
  Labels: Record<string, string>;
  Containers: Record<string, { Name: string; IPv4Address: string; IPv6Address: string; MacAddress: string }>;
}

async function inspect(client: Client, name: string): Promise<Inspected> {
  const [found] = JSON.parse(await client.must("network", "inspect", name)) as Inspected[];
  if (found === undefined) throw new Error(`no network ${name}`);
  return found;
}

test.each(CLIENTS)("%s: create with every flag, and what inspect and ls say", async (name) => {
  const client = ground.client(name);
  const flags = ["--driver", "bridge", "--internal", "--attachable", "--ipv6", "--label", "tier=back", "--label", "plain"];
  const addressing = [
    "--subnet",
    "10.70.0.0/16",
    "--ip-range",
    "10.70.5.0/24",
    "--gateway",
    "10.70.5.254",
    "--aux-address",
    "router=10.70.5.1",
  ];
  const six = ["--subnet", "fd00:70::/64", "--gateway", "fd00:70::99"];
  const options = ["--opt", "com.docker.network.driver.mtu=1400", "-o", "com.docker.network.bridge.name=full0"];
  const id = await client.must("network", "create", ...flags, ...addressing, ...six, ...options, "full");
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  const found = await inspect(client, "full");
  expect(found).toMatchObject({
    Id: id,
    Name: "full",
    Driver: "bridge",
    EnableIPv6: true,
    Internal: true,
    Attachable: true,
    Options: { "com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.name": "full0" },
    Labels: { tier: "back", plain: "" },
  });
  // docker 20.10 keeps subnets in no order.
  expect(found.IPAM.Config.toSorted((a, b) => String(a["Subnet"]).localeCompare(String(b["Subnet"])))).toEqual([
    { Subnet: "10.70.0.0/16", IPRange: "10.70.5.0/24", Gateway: "10.70.5.254", AuxiliaryAddresses: { router: "10.70.5.1" } },
    { Subnet: "fd00:70::/64", Gateway: "fd00:70::99" },
  ]);
  const addresses = await client.must("run", "--rm", "--network", "full", "busybox", "ip", "-o", "addr", "show", "eth0");
  expect(addresses).toContain("inet 10.70.5.0/16");
  expect(addresses).toContain("inet6 fd00:70::1/64");
  const shown = await client.must("network", "inspect", "-f", "{{.Name}} {{.Driver}} {{len .IPAM.Config}}", id.slice(0, 12));
  expect(shown).toBe("full bridge 2");
  const list = async (...filters: string[]): Promise<string[]> =>
    lines(await client.must("network", "ls", "--format", "{{.Name}}", ...filters.flatMap((filter) => ["--filter", filter])));
  expect(await list()).toEqual(["bridge", "full", "host", "none"]);
  expect(await list("driver=bridge")).toEqual(["bridge", "full"]);
  expect(await list("type=custom")).toEqual(["full"]);
  expect(await list("type=builtin")).toEqual(["bridge", "host", "none"]);
  expect((await client.run(["network", "ls", "--filter", "type=other"])).stderr).toContain("invalid filter: 'type'='other'");
  expect(await list("label=tier=back")).toEqual(["full"]);
  expect(await list("label=tier=front")).toEqual([]);
  expect(await list("name=ful")).toEqual(["full"]);
  expect(await list(`id=${id.slice(0, 5)}`)).toEqual(["full"]);
  expect(await list("dangling=true")).toEqual(["full"]);
  expect(await list("scope=swarm")).toEqual([]);
  expect(await client.must("network", "ls", "-q", "--no-trunc", "--filter", "name=full")).toBe(id);
  expect(await client.must("network", "rm", "full")).toBe("full");
  expect((await client.run(["network", "inspect", "full"])).code).toBe(1);
});

test.each(CLIENTS)("%s: connect and disconnect a running container and a stopped one, with addresses, aliases and links", async (name) => {
  const client = ground.client(name);
  const [main, other] = [ground.name(), ground.name()];
  for (const [network, subnet] of [
    ["front", "10.71.0.0/24"],
    ["back", "10.72.0.0/24"],
  ] as const)
    await client.must("network", "create", "--subnet", subnet, network);
  await client.must("run", "-d", "--name", other, "--network", "back", "--network-alias", "store", "busybox", "sleep", "600");
  await client.must("run", "-d", "--name", main, "--network", "front", "busybox", "sleep", "600");
  await client.must(
    "network",
    "connect",
    "--ip",
    "10.72.0.40",
    "--alias",
    "shop",
    "--alias",
    "till",
    "--link",
    `${other}:db`,
    "back",
    main,
  );
  const places = (await inspect(client, "back")).Containers;
  const addresses = Object.fromEntries(Object.values(places).map(({ Name, IPv4Address }) => [Name, IPv4Address]));
  expect(addresses).toEqual({ [main]: "10.72.0.40/24", [other]: "10.72.0.2/24" });
  expect(await client.must("exec", main, "ip", "-o", "-4", "addr", "show", "eth1")).toContain("10.72.0.40/24");
  for (const asked of ["store", "db", other]) await client.must("exec", main, "ping", "-c", "1", "-W", "5", asked);
  for (const asked of ["shop", "till", main]) await client.must("exec", other, "ping", "-c", "1", "-W", "5", asked);
  const inUse = await client.run(["network", "rm", "back", "front"]);
  expect(inUse.code).toBe(1);
  expect(inUse.stderr.match(/has active endpoints/g)).toHaveLength(2);
  await client.must("restart", "-t", "0", main);
  expect(await client.must("exec", main, "ip", "-o", "-4", "addr")).toContain("10.72.0.40/24");
  await client.must("network", "disconnect", "back", main);
  expect(await client.must("exec", main, "ip", "-o", "-4", "addr")).not.toContain("10.72.");
  const twice = await client.run(["network", "disconnect", "back", main]);
  expect([twice.code, twice.stderr]).toEqual([1, expect.stringContaining("is not connected to")]);
  await client.must("stop", "-t", "0", main);
  await client.must("network", "connect", "--ip", "10.72.0.41", "back", main);
  await client.must("network", "disconnect", "front", main);
  await client.must("start", main);
  expect(lines(await client.must("exec", main, "ip", "-o", "-4", "addr")).map((line) => line.split(/ +/)[3])).toEqual([
    "127.0.0.1/8",
    "10.72.0.41/24",
  ]);
  await client.must("network", "disconnect", "-f", "back", other);
  await client.must("rm", "-f", main, other);
  expect(lines(await client.must("network", "rm", "front", "back"))).toEqual(["front", "back"]);
});

test.each(CLIENTS)("%s: prune takes what nobody uses and what the filters let through; rm tells each that is not there", async (name) => {
  const client = ground.client(name);
  const user = ground.name();
  for (const [network, label] of [
    ["used", "keep=no"],
    ["one", "keep=no"],
    ["two", "keep=yes"],
    ["three", "other=1"],
  ] as const)
    await client.must("network", "create", "--label", label, network);
  await client.must("run", "-d", "--name", user, "--network", "used", "busybox", "sleep", "600");
  const prune = async (...filters: string[]): Promise<string[]> =>
    lines(await client.must("network", "prune", "-f", ...filters.flatMap((filter) => ["--filter", filter]))).sort();
  expect(await prune("until=24h")).toEqual([]);
  expect(await prune("label=keep=no")).toEqual(["Deleted Networks:", "one"]);
  expect(await prune("label!=keep", "until=0s")).toEqual(["Deleted Networks:", "three"]);
  expect(await prune()).toEqual(["Deleted Networks:", "two"]);
  expect(await prune()).toEqual([]);
  await client.must("rm", "-f", user);
  const gone = await client.run(["network", "rm", "used", "nowhere"]);
  expect([gone.code, gone.stdout, gone.stderr]).toEqual([1, "used\n", expect.stringMatching(/nowhere/)]);
  for (const predefined of ["bridge", "host", "none"])
    expect((await client.run(["network", "rm", predefined])).stderr).toContain(
      `${predefined} is a pre-defined network and cannot be removed`,
    );
});

test("options of one place by name=...: interface name, priority, settings, addresses", async () => {
  const client = ground.lighter;
  await client.must("network", "create", "--subnet", "10.73.0.0/24", "red");
  await client.must("network", "create", "--subnet", "10.74.0.0/24", "blue");
  const red = "name=red,ip=10.73.0.9,mac-address=02:42:00:00:73:09,driver-opt=com.docker.network.endpoint.ifname=lan0";
  const blue = 'name=blue,gw-priority=9,"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1"';
  const show = "ip -o link show lan0; ip -o -4 addr show lan0; ip route show default; cat /proc/sys/net/ipv4/conf/eth0/log_martians";
  const said = await client.must("run", "--rm", "--network", red, "--network", blue, "busybox", "sh", "-c", show);
  expect(said).toContain("link/ether 02:42:00:00:73:09");
  expect(said).toContain("inet 10.73.0.9/24");
  expect(said).toMatch(/default via 10\.74\.0\.1 dev eth0/);
  expect(said).toEndWith("\n1");
  await client.must("network", "rm", "red", "blue");
});

test("IPv6 alone, and a network that is a configuration for others", async () => {
  const client = ground.lighter;
  await client.must("network", "create", "--ipv4=false", "--ipv6", "six");
  expect(await client.must("run", "--rm", "--network", "six", "busybox", "ip", "-o", "-4", "addr")).toMatch(
    /^1: lo +inet 127\.0\.0\.1\/8 [^\n]*$/,
  );
  await client.must("network", "create", "--config-only", "--subnet", "10.75.0.0/24", "--label", "a=b", "conf");
  await client.must("network", "create", "--config-from", "conf", "made");
  expect(
    await client.must("network", "inspect", "-f", "{{.ConfigFrom.Network}} {{(index .IPAM.Config 0).Subnet}} {{.Labels}}", "made"),
  ).toBe("conf 10.75.0.0/24 map[a:b]");
  expect((await client.run(["network", "rm", "conf"])).stderr).toContain('configuration network "conf" is in use');
  expect(lines(await client.must("network", "rm", "made", "conf", "six"))).toEqual(["made", "conf", "six"]);
});
