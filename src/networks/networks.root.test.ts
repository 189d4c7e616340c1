import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { HOST, Lab, type LabContainer, LabDaemon, OUTSIDE, ask, sh, until } from "./lab.ts";

const isRoot = process.getuid?.() === 0;
// With the namespace of processes everything that a test starts ends with it.
const PRIVATE = ["--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];
const inside = process.env["LIGHTER_LAB"] === "1";

// The part changes its own network namespace's links and rules: everything runs in a child that stands in a namespace of its own.
test.if(isRoot && !inside)(
  "networks, in a network namespace that plays the host",
  async () => {
    const child = Bun.spawn(["unshare", ...PRIVATE, process.execPath, "test", import.meta.path], {
      env: { ...process.env, LIGHTER_LAB: "1" },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    expect(code === 0 ? "" : `${output}${errors}`).toBe("");
  },
  120_000,
);

setDefaultTimeout(30_000);

const links = async (): Promise<number> => Number(await sh("ip -o link | grep -c ' lv' || true"));
const ruleset = (): Promise<string> => sh("nft list ruleset");

/** Ends the processes that a killed daemon's containers were made of; in this namespace of processes nobody else has any. */
async function killOrphans(lab: Lab): Promise<void> {
  await until(async () => {
    const all = (await sh("ps -eo pid=,comm=,stat=")).split("\n").map((line) => line.trim().split(/ +/));
    const orphans = all.filter(
      ([pid, command = "", status = ""]) =>
        ["sleep", "nsenter"].includes(command) && !status.startsWith("Z") && Number(pid) !== lab.outsidePid,
    );
    for (const [pid] of orphans) process.kill(Number(pid), "SIGKILL");
    return orphans.length === 0;
  });
}

describe.if(isRoot && inside)("networks", () => {
  let lab: Lab;
  let daemon: LabDaemon;

  beforeAll(async () => {
    lab = await Lab.open();
    await sh("ip route add 172.17.0.0/16 via 203.0.113.77");
    daemon = await LabDaemon.open(lab);
    await daemon.networks.restore([]);
    await lab.echo("outside", ["tcp:9000", "udp:9000"], lab.outside);
  });
  afterAll(async () => {
    await daemon.close();
    daemon.forget();
    lab.close();
  });

  test("the default bridge avoids the routes of the host", () => {
    const [config] = daemon.networks.inspect("bridge").IPAM?.Config ?? [];
    expect(config).toEqual({ Subnet: "172.18.0.0/16", Gateway: "172.18.0.1" });
  });

  test("a container reaches the outside with the host's address", async () => {
    const one = await daemon.run("one");
    expect(one.address).toStartWith("172.18.0.");
    expect(await ask(one.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await ask(one.namespace, "udp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    await one.stop();
  });

  test("published ports answer from everywhere, with the client's own address from outside", async () => {
    const portBindings = {
      "80/tcp": [{ HostPort: "8080" }],
      "53/udp": [{ HostPort: "5353" }],
      "81/tcp": [{ HostIp: "127.0.0.1", HostPort: "8081" }],
    };
    const web = await daemon.run("web", { portBindings });
    const other = await daemon.run("other");
    await lab.echo("web", ["tcp:80", "udp:53", "tcp:81"], web.namespace);
    expect(await ask(lab.outside, "tcp", HOST, 8080)).toBe(`web ${OUTSIDE}`);
    expect(await ask(lab.outside, "udp", HOST, 5353)).toBe(`web ${OUTSIDE}`);
    expect(await ask(undefined, "tcp", HOST, 8080)).toStartWith("web ");
    expect(await ask(undefined, "tcp", "127.0.0.1", 8080)).toStartWith("web ");
    expect(await ask(undefined, "udp", "127.0.0.1", 5353)).toStartWith("web ");
    expect(await ask(undefined, "tcp", "127.0.0.1", 8081)).toStartWith("web ");
    expect(await ask(lab.outside, "tcp", HOST, 8081)).toBe("nothing");
    expect(await ask(other.namespace, "tcp", HOST, 8080)).toStartWith("web ");
    expect(await ask(web.namespace, "tcp", HOST, 8080)).toStartWith("web ");
    expect(await ask(other.namespace, "tcp", web.address, 80)).toBe(`web ${other.address}`);
    expect(daemon.networks.settings(daemon.state, web.id).ports["80/tcp"]).toEqual([{ HostIp: "0.0.0.0", HostPort: "8080" }]);
    await web.stop();
    await other.stop();
    expect(await ask(lab.outside, "tcp", HOST, 8080)).toBe("nothing");
  });

  test("the host's loopback and unpublished ports stay closed", async () => {
    const web = await daemon.run("closed");
    await lab.echo("web", ["tcp:80"], web.namespace);
    await lab.echo("host", ["tcp:7000"]);
    expect(await ask(undefined, "tcp", web.address, 80)).toStartWith("web ");
    await sh(`nsenter --net=${web.namespace} ip route add 127.0.0.2 via 172.18.0.1 table local 2>/dev/null; true`);
    await sh(`nsenter --net=${lab.outside} ip route add 172.18.0.0/16 via ${HOST}`);
    expect(await ask(lab.outside, "tcp", web.address, 80)).toBe("nothing");
    await sh(`nsenter --net=${lab.outside} ip route del 172.18.0.0/16`);
    // A packet for the host's own 127.0.0.1 that comes over the bridge, as only a forger would send it.
    const forged = "ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via 172.18.0.1 src " + web.address;
    await sh(`nsenter --net=${web.namespace} sh -c 'sysctl -qw net.ipv4.conf.all.route_localnet=1; ${forged}'`);
    expect(await ask(web.namespace, "tcp", HOST, 7000)).toStartWith("host ");
    expect(await ask(web.namespace, "tcp", "127.0.0.1", 7000)).toBe("nothing");
    await web.stop();
  });

  test("a port in use is told before the start, whoever holds it", async () => {
    const first = await daemon.run("first", { portBindings: { "80/tcp": [{ HostPort: "8090" }] } });
    const wish = (HostPort: string, HostIp = ""): Promise<unknown> =>
      daemon.run(`late${HostPort}${HostIp}`, { portBindings: { "80/tcp": [{ HostIp, HostPort }] } });
    const ours =
      /^driver failed programming external connectivity on endpoint late8090 \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8090 failed: port is already allocated$/;
    await expect(wish("8090")).rejects.toThrow(ours);
    await expect(wish("8090", "127.0.0.1")).rejects.toThrow("Bind for 127.0.0.1:8090 failed: port is already allocated");
    const foreign = Bun.listen({ hostname: "127.0.0.1", port: 8091, socket: { data() {} } });
    await expect(wish("8091")).rejects.toThrow(
      /failed to bind host port for 0\.0\.0\.0:8091:172\.18\.0\.\d+:80\/tcp: address already in use$/,
    );
    foreign.stop(true);
    await expect(wish("8091", "198.51.100.1")).rejects.toThrow("cannot assign requested address");
    const range = await daemon.run("range", { portBindings: { "80/tcp": [{ HostPort: "8090-8092" }] } });
    expect(daemon.networks.settings(daemon.state, range.id).ports).toEqual({ "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8091" }] });
    const all = await daemon.run("all", { exposed: ["80/tcp", "53/udp"], publishAll: true });
    const { ports } = daemon.networks.settings(daemon.state, all.id);
    for (const key of ["80/tcp", "53/udp"]) expect(Number(ports[key]?.[0]?.HostPort)).toBeWithin(32768, 61000);
    expect(() => Bun.listen({ hostname: "0.0.0.0", port: 8090, socket: { data() {} } })).toThrow();
    for (const container of [first, range, all]) await container.stop();
    Bun.listen({ hostname: "0.0.0.0", port: 8090, socket: { data() {} } }).stop(true);
    expect(daemon.state.all("SELECT * FROM ports")).toEqual([]);
  });

  test("networks are apart from each other, and internal ones from the outside", async () => {
    const options = { driver: "bridge", attachable: false, enableIPv4: true, enableIPv6: false, options: {}, labels: {}, ipam: {} };
    const { id } = await daemon.networks.create({ ...options, name: "apart", internal: false });
    await daemon.networks.create({ ...options, name: "inner", internal: true });
    await daemon.networks.create({
      ...options,
      name: "strangers",
      internal: false,
      options: { "com.docker.network.bridge.enable_icc": "false" },
    });
    const a = await daemon.run("a", {
      mode: "apart",
      endpoints: { apart: { Aliases: ["alpha"], IPAMConfig: { IPv4Address: "172.19.0.9" } } },
    });
    const b = await daemon.run("b");
    const c = await daemon.run("c", { mode: "inner" });
    const [d, e] = [await daemon.run("d", { mode: "strangers" }), await daemon.run("e", { mode: "strangers" })];
    for (const [tag, one] of Object.entries({ a, b, c, d, e })) await lab.echo(tag, ["tcp:80"], one.namespace);
    expect(a.address).toBe("172.19.0.9");
    expect(await ask(a.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await ask(a.namespace, "tcp", b.address, 80)).toBe("nothing");
    expect(await ask(b.namespace, "tcp", a.address, 80)).toBe("nothing");
    expect(await ask(c.namespace, "tcp", OUTSIDE, 9000)).toBe("nothing");
    expect(await ask(d.namespace, "tcp", e.address, 80)).toBe("nothing");
    expect(await ask(d.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await ask(undefined, "tcp", c.address, 80)).toStartWith("c ");
    expect(daemon.networks.settings(daemon.state, a.id).networks["apart"]?.DNSNames).toEqual(["a", "alpha", a.id.slice(0, 12)]);
    expect(daemon.networks.inspect(id.slice(0, 10)).Containers?.[a.id]?.IPv4Address).toBe("172.19.0.9/16");
    await daemon.networks.connect("bridge", a.id, {});
    expect(await ask(a.namespace, "tcp", b.address, 80)).toStartWith("b ");
    await daemon.networks.disconnect("apart", a.id, { force: false });
    expect(await ask(a.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(Object.keys(daemon.networks.settings(daemon.state, a.id).networks)).toEqual(["bridge"]);
    await expect(daemon.networks.remove("inner")).rejects.toThrow(
      'error while removing network: network inner has active endpoints (name:"c"',
    );
    for (const one of [a, b, c, d, e]) await one.stop();
    expect((await daemon.networks.prune(new Map())).sort()).toEqual(["apart", "inner", "strangers"]);
    expect(await sh("ip -o link | grep -c ': br-' || true")).toBe("0");
    expect(await ruleset()).not.toContain("br-");
  });

  test("IPv6: its own subnet, published ports, and the way out", async () => {
    await sh(`ip -6 addr add 2001:db8::1/64 dev out0 nodad; nsenter --net=${lab.outside} ip -6 addr add 2001:db8::2/64 dev in0 nodad`);
    const ipam = { config: [{ subnet: "fd00:5::/64" }] };
    const plain = { driver: "bridge", internal: false, attachable: false, options: {}, labels: {} };
    await daemon.networks.create({ ...plain, name: "six", enableIPv4: true, enableIPv6: true, ipam });
    const portBindings = { "80/tcp": [{ HostPort: "8300" }] };
    const [a, b] = [await daemon.run("a6", { mode: "six", portBindings }), await daemon.run("b6", { mode: "six" })];
    await lab.echo("a6", ["tcp:80"], a.namespace);
    await lab.echo("out6", ["tcp:9006"], lab.outside);
    const settings = daemon.networks.settings(daemon.state, a.id);
    const place = settings.networks["six"];
    expect(place?.GlobalIPv6Address).toBe("fd00:5::2");
    expect(place?.IPv6Gateway).toBe("fd00:5::1");
    expect(settings.ports["80/tcp"]).toEqual(["0.0.0.0", "::"].map((HostIp) => ({ HostIp, HostPort: "8300" })));
    expect(await ask(b.namespace, "tcp", place?.GlobalIPv6Address ?? "", 80)).toBe("a6 fd00:5::3");
    expect(await ask(b.namespace, "tcp", "2001:db8::2", 9006)).toBe("out6 2001:db8::1");
    expect(await ask(lab.outside, "tcp", "2001:db8::1", 8300)).toBe("a6 2001:db8::2");
    expect(await ask(lab.outside, "tcp", HOST, 8300)).toBe(`a6 ${OUTSIDE}`);
    for (const one of [a, b]) await one.stop();
    await daemon.networks.remove("six");
  });

  test("connect and disconnect while stopped hold from the next start on", async () => {
    const options = {
      driver: "bridge",
      internal: false,
      attachable: false,
      enableIPv4: true,
      enableIPv6: false,
      options: {},
      labels: {},
      ipam: {},
    };
    await daemon.networks.create({ ...options, name: "later" });
    const containerId = daemon.row("sleeper");
    await daemon.networks.connect("later", "sleeper", { Aliases: ["zz"] });
    await expect(daemon.networks.connect("later", "sleeper", {})).rejects.toThrow(
      "endpoint with name sleeper already exists in network later",
    );
    for (let round = 0; round < 2; round++) {
      const one = await daemon.run("sleeper", { containerId });
      const { networks } = daemon.networks.settings(daemon.state, containerId);
      expect(Object.keys(networks).sort()).toEqual(["bridge", "later"]);
      expect(networks["later"]?.DNSNames).toEqual(["sleeper", "zz", containerId.slice(0, 12)]);
      expect(await sh(`nsenter --net=${one.namespace} ip -br -4 addr show eth1`)).toContain(networks["later"]?.IPAddress ?? "?");
      await one.stop();
    }
    const still = daemon.networks.settings(daemon.state, containerId, { mode: "default", endpoints: {} }).networks;
    expect(Object.keys(still).sort()).toEqual(["bridge", "later"]);
    expect(still["bridge"]).toMatchObject({
      NetworkID: daemon.networks.inspect("bridge").Id ?? "",
      EndpointID: "",
      IPAddress: "",
      MacAddress: "",
    });
    expect(Object.keys(daemon.networks.settings(daemon.state, containerId, { mode: "lost", endpoints: {} }).networks)).toEqual([
      "lost",
      "later",
    ]);
    await daemon.networks.disconnect("bridge", "sleeper", { force: false });
    const alone = await daemon.run("sleeper", { containerId });
    expect(Object.keys(daemon.networks.settings(daemon.state, containerId).networks)).toEqual(["later"]);
    expect(await ask(alone.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    await alone.stop();
    const events = daemon.state.all<{ action: string }>("SELECT action FROM events WHERE attributes_json LIKE ?", `%${containerId}%`);
    const [connects, disconnects] = ["connect", "disconnect"].map((action) => events.filter((event) => event.action === action).length);
    expect([connects, disconnects]).toEqual([5, 5]);
    await daemon.networks.remove("later");
  });

  test("published ports follow the container from network to network", async () => {
    const options = {
      driver: "bridge",
      internal: false,
      attachable: false,
      enableIPv4: true,
      enableIPv6: false,
      options: {},
      labels: {},
      ipam: {},
    };
    await daemon.networks.create({ ...options, name: "front" });
    const web = await daemon.run("mover", { portBindings: { "80/tcp": [{ HostPort: "8400" }] } });
    await lab.echo("mover", ["tcp:80"], web.namespace);
    const answers = (): Promise<string> => ask(lab.outside, "tcp", HOST, 8400);
    expect(await answers()).toBe(`mover ${OUTSIDE}`);
    await daemon.networks.connect("front", web.id, { GwPriority: 5 });
    expect(await answers()).toBe(`mover ${OUTSIDE}`);
    expect(await ruleset()).toContain(`tcp . 8400 : ${daemon.networks.settings(daemon.state, web.id).networks["front"]?.IPAddress} . 80`);
    await daemon.networks.disconnect("front", web.id, { force: false });
    expect(await answers()).toBe(`mover ${OUTSIDE}`);
    await daemon.networks.disconnect("bridge", web.id, { force: false });
    expect(await answers()).toBe("nothing");
    await daemon.networks.connect("front", web.id, {});
    expect(await answers()).toBe(`mover ${OUTSIDE}`);
    expect(daemon.networks.settings(daemon.state, web.id).ports).toEqual({ "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8400" }] });
    await web.stop();
    expect(daemon.state.all("SELECT * FROM ports")).toEqual([]);
    await daemon.networks.remove("front");
  });

  test("names on a user network, over UDP and TCP, while port 53 is the container's own", async () => {
    const options = {
      driver: "bridge",
      internal: false,
      attachable: false,
      enableIPv4: true,
      enableIPv6: false,
      options: {},
      labels: {},
      ipam: {},
    };
    await daemon.networks.create({ ...options, name: "named" });
    const db = await daemon.run("Db", { mode: "named", endpoints: { named: { Aliases: ["store"] } } });
    const app = await daemon.run("app", { mode: "named", endpoints: { named: { Links: ["Db:linked"] } }, dns: [OUTSIDE] });
    expect(app.resolvConf).toContain("nameserver 127.0.0.11\n");
    const asked = async (from: LabContainer, name: string, protocol = "udp", type = "A"): Promise<string> =>
      sh(`nsenter --net=${from.namespace} ${process.execPath} ${import.meta.dir}/lab-dig.ts ${protocol} ${type} ${name}`);
    for (const name of ["db", "DB", "store", "db.named", "linked", db.id.slice(0, 12)])
      expect(await asked(app, name)).toBe(`0 ${db.address}`);
    expect(await asked(app, "db", "tcp")).toBe(`0 ${db.address}`);
    expect(await asked(app, "db", "udp", "AAAA")).toBe("0");
    expect(await asked(db, `${app.address.split(".").toReversed().join(".")}.in-addr.arpa`, "udp", "PTR")).toBe("0 app.named");
    await lab.spawn(["nsenter", `--net=${lab.outside}`, process.execPath, `${import.meta.dir}/lab-dns.ts`, "198.51.100.7"]);
    await until(async () => (await asked(app, "far.example")) === "0 198.51.100.7");
    expect(await asked(app, "far.example", "tcp")).toBe("0 198.51.100.7");
    await lab.echo("own", ["tcp:53", "udp:53"], app.namespace);
    expect(await asked(app, "db")).toBe(`0 ${db.address}`);
    daemon.state.write((tx) => daemon.networks.rename(tx, db.id, "renamed"), { durable: false });
    expect([await asked(app, "renamed"), await asked(app, "store")]).toEqual([`0 ${db.address}`, `0 ${db.address}`]);
    await db.stop();
    expect(await asked(app, "renamed")).not.toContain(db.address);
    const { dataRoot } = daemon.options;
    await daemon.close();
    expect(await asked(app, "app")).toBe("nothing");
    daemon = await LabDaemon.open(lab, { dataRoot });
    daemon.pids.set(app.id, app.pid);
    await daemon.networks.restore([{ containerId: app.id, pid: app.pid }]);
    expect(await asked(app, "app")).toBe(`0 ${app.address}`);
    process.kill(app.pid, "SIGKILL");
    await daemon.networks.leave(app.id);
    daemon.state.write((tx) => daemon.networks.release(tx, app.id), { durable: false });
    await daemon.networks.remove("named");
  });

  test("UDP senders that never pause reach whoever has the port now", async () => {
    const script = `const s = require("dgram").createSocket("udp4"); s.bind(40000);
      s.on("message", (m) => process.stdout.write(String(m))); setInterval(() => s.send("x", 5400, "${HOST}"), 20);`;
    const sender = lab.spawn(["nsenter", `--net=${lab.outside}`, process.execPath, "-e", script]);
    await Bun.sleep(200);
    let heard = "";
    void (async () => {
      for await (const part of sender.stdout as ReadableStream<Uint8Array>) heard += Buffer.from(part).toString();
    })();
    for (const name of ["udp1", "udp2"]) {
      const one = await daemon.run(name, { portBindings: { "53/udp": [{ HostPort: "5400" }] } });
      await lab.echo(name, ["udp:53"], one.namespace);
      await until(() => heard.includes(`${name} ${OUTSIDE}`));
      await one.stop();
    }
    sender.kill();
  });

  test("chains of others that drop are named with the command that opens them, and the MTU is that of the way out", async () => {
    await sh(
      "ip link set out0 mtu 1400; nft add table ip filter; nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy drop; }'",
    );
    const second = await LabDaemon.open(lab, { bridgeName: "lighter2", table: "lighter_2" });
    await second.networks.restore([]);
    const options = {
      driver: "bridge",
      internal: false,
      attachable: false,
      enableIPv4: true,
      enableIPv6: false,
      options: {},
      labels: {},
      ipam: {},
    };
    const { warning, id } = await second.networks.create({ ...options, name: "warned" });
    expect(warning).toContain('chain "ip filter FORWARD" (policy drop)');
    const one = await second.run("one");
    expect(await ask(one.namespace, "tcp", OUTSIDE, 9000)).toBe("nothing");
    const command = /open it with: (.*)$/.exec(warning)?.[1]?.replaceAll(`br-${id.slice(0, 12)}`, "lighter2") ?? "false";
    await sh(command);
    expect(await ask(one.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(
      await sh(
        `nsenter --net=${one.namespace} cat /sys/class/net/eth0/mtu 2>/dev/null || nsenter --net=${one.namespace} ip -o link show eth0`,
      ),
    ).toContain("1400");
    await one.stop();
    await second.networks.remove("warned");
    await second.close();
    second.forget();
    await sh("ip link set out0 mtu 1500; ip link del lighter2; nft delete table inet lighter_2; nft delete table ip filter");
  });

  test("modes none, host and container", async () => {
    const none = await daemon.run("none", { mode: "none" });
    expect(await sh(`nsenter --net=${none.namespace} ip -br link`)).toMatch(/^lo +UNKNOWN[^\n]*$/);
    const host = await daemon.run("host", { mode: "host" });
    expect(await sh(`readlink ${host.namespace}`)).toBe(await sh("readlink /proc/self/ns/net"));
    const web = await daemon.run("shared");
    const guest = await daemon.run("guest", { mode: "container:shared" });
    expect(await sh(`readlink ${guest.namespace}`)).toBe(await sh(`readlink ${web.namespace}`));
    expect(guest.hosts).toBeUndefined();
    expect(web.hosts).toContain(`${web.address}\t${web.id.slice(0, 12)}\n`);
    expect(daemon.networks.settings(daemon.state, guest.id).networks).toEqual({});
    for (const one of [none, host, guest, web]) await one.stop();
    await expect(daemon.run("late", { mode: "container:shared" })).rejects.toThrow("cannot join network of a non running container");
    expect(() => daemon.networks.check(daemon.request("lost", { mode: "nowhere" }))).toThrow("network nowhere not found");
  });

  test("nothing is left of 40 containers, and no thread stays elsewhere", async () => {
    const before = await ruleset();
    for (let round = 0; round < 5; round++) {
      const some = await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          daemon.run(`r${round}-${index}`, { portBindings: { "80/tcp": [{ HostPort: String(8100 + index) }] } }),
        ),
      );
      expect(new Set(some.map(({ address }) => address)).size).toBe(8);
      await Promise.all(some.map((one) => one.stop()));
    }
    expect(await ruleset()).toBe(before);
    expect(daemon.state.all("SELECT id FROM endpoints WHERE address4 IS NOT NULL")).toEqual([]);
    const spaces = await sh(`readlink /proc/${process.pid}/task/*/ns/net | sort -u`);
    expect(spaces.split("\n")).toHaveLength(1);
  });

  test("kill -9 of the daemon: ports answer meanwhile, the next one adopts the living and sweeps the rest", async () => {
    await daemon.close();
    daemon.forget();
    await until(async () => (await links()) === 0);
    await sh("ip link del lighter0; nft delete table inet lighter");
    const dataRoot = `${daemon.options.dataRoot}-killed`;
    const child = lab.spawn([process.execPath, `${import.meta.dir}/lab-daemon.ts`, dataRoot]);
    const { value } = await (child.stdout as ReadableStream<Uint8Array>).getReader().read();
    const { web, gone } = JSON.parse(Buffer.from(value ?? []).toString()) as Record<
      "web" | "gone",
      { id: string; pid: number; address: string }
    >;
    const server = await lab.echo("web", ["tcp:80"], `/proc/${web.pid}/ns/net`);
    expect(await ask(lab.outside, "tcp", HOST, 8080)).toBe(`web ${OUTSIDE}`);
    const wide = await links();
    child.kill("SIGKILL");
    await child.exited;
    process.kill(gone.pid, "SIGKILL");
    expect(await ask(lab.outside, "tcp", HOST, 8080)).toBe(`web ${OUTSIDE}`);
    await until(async () => (await links()) === 1);
    expect(wide).toBeGreaterThan(3);

    daemon = await LabDaemon.open(lab, { dataRoot });
    daemon.pids.set(web.id, web.pid);
    await daemon.networks.restore([{ containerId: web.id, pid: web.pid }]);
    expect(await ask(lab.outside, "tcp", HOST, 8080)).toBe(`web ${OUTSIDE}`);
    expect(await ruleset()).not.toContain("8081");
    expect(daemon.state.all("SELECT container FROM endpoints")).toEqual([{ container: web.id }]);
    expect(() => Bun.listen({ hostname: "0.0.0.0", port: 8080, socket: { data() {} } })).toThrow();
    const next = await daemon.run("next");
    expect(next.address).not.toBe(web.address);
    expect(await ask(next.namespace, "tcp", web.address, 80)).toBe(`web ${next.address}`);
    await next.stop();

    await sh("ip link del lighter0; nft flush ruleset");
    await daemon.close();
    daemon = await LabDaemon.open(lab, { dataRoot });
    await daemon.networks.restore([{ containerId: web.id, pid: web.pid }]);
    await until(async () => (await ask(lab.outside, "tcp", HOST, 8080)) === `web ${OUTSIDE}`);
    process.kill(web.pid, "SIGKILL");
    server.kill();
  });

  test("kill -9 in the middle of anything leaves nothing that the next start does not sweep", async () => {
    const dataRoot = `${daemon.options.dataRoot}-churned`;
    const options = { dataRoot, bridgeName: "lighter0", table: "lighter" };
    await daemon.close();
    await sh("ip link del lighter0; nft flush ruleset");
    for (const delay of [35, 70, 110, 160, 230, 320]) {
      const child = lab.spawn([process.execPath, `${import.meta.dir}/lab-daemon.ts`, dataRoot, "churn"]);
      await (child.stdout as ReadableStream<Uint8Array>).getReader().read();
      await Bun.sleep(delay);
      child.kill("SIGKILL");
      await child.exited;
      await killOrphans(lab);
    }
    daemon = await LabDaemon.open(lab, options);
    await daemon.networks.restore([]);
    await daemon.networks.prune(new Map());
    expect(await sh("ip -o link | grep -c ': br-' || true")).toBe("0");
    expect(daemon.state.all("SELECT id FROM endpoints")).toEqual([]);
    expect(daemon.state.all("SELECT host_port FROM ports")).toEqual([]);
    expect(daemon.state.all("SELECT key FROM effects WHERE kind = 'bridge'")).toEqual([]);
    expect(await sh("nft list map inet lighter ports4_any")).not.toContain("elements");
    await daemon.close();
    await until(async () => (await links()) === 0);
    daemon = await LabDaemon.open(lab, options);
    await daemon.networks.restore([]);
  });

  test("two daemons side by side", async () => {
    const other = await LabDaemon.open(lab, { bridgeName: "lighter1", table: "lighter_1" });
    await other.networks.restore([]);
    const [subnet] = other.networks.inspect("bridge").IPAM?.Config ?? [];
    expect(subnet?.Subnet).not.toBe(daemon.networks.inspect("bridge").IPAM?.Config?.[0]?.Subnet ?? "");
    const mine = await daemon.run("mine", { portBindings: { "80/tcp": [{ HostPort: "8200" }] } });
    const theirs = await other.run("theirs", { portBindings: { "80/tcp": [{ HostPort: "8201" }] } });
    await lab.echo("mine", ["tcp:80"], mine.namespace);
    await lab.echo("theirs", ["tcp:80"], theirs.namespace);
    expect(await ask(lab.outside, "tcp", HOST, 8200)).toStartWith("mine ");
    expect(await ask(lab.outside, "tcp", HOST, 8201)).toStartWith("theirs ");
    await theirs.stop();
    await other.close();
    other.forget();
    expect(await ask(lab.outside, "tcp", HOST, 8200)).toStartWith("mine ");
    await mine.stop();
  });
});
