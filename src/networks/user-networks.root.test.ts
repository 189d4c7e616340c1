import { expect, test } from "bun:test";
import { type LabContainer, HOST, LabDaemon, OUTSIDE, ask, ruleset, sh, until, PLAIN, reach } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

labSuite("user networks", import.meta.path, (ground) => {
  test("networks are apart from each other, and internal ones from the outside", async () => {
    const options = { driver: "bridge", attachable: false, enableIPv4: true, enableIPv6: false, options: {}, labels: {}, ipam: {} };
    const { id } = await ground.daemon.networks.create({ ...options, name: "apart", internal: false });
    await ground.daemon.networks.create({ ...options, name: "inner", internal: true });
    await ground.daemon.networks.create({
      ...options,
      name: "strangers",
      internal: false,
      options: { "com.docker.network.bridge.enable_icc": "false" },
    });
    const a = await ground.daemon.run("a", {
      mode: "apart",
      endpoints: { apart: { Aliases: ["alpha"], IPAMConfig: { IPv4Address: "172.19.0.9" } } },
    });
    const b = await ground.daemon.run("b");
    const c = await ground.daemon.run("c", { mode: "inner" });
    const [d, e] = [await ground.daemon.run("d", { mode: "strangers" }), await ground.daemon.run("e", { mode: "strangers" })];
    for (const [tag, one] of Object.entries({ a, b, c, d, e })) await ground.lab.echo(tag, ["tcp:80"], one.namespace);
    expect(a.address).toBe("172.19.0.9");
    expect(await reach(a.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await ask(a.namespace, "tcp", b.address, 80)).toBe("nothing");
    expect(await ask(b.namespace, "tcp", a.address, 80)).toBe("nothing");
    expect(await ask(c.namespace, "tcp", OUTSIDE, 9000)).toBe("nothing");
    expect(await ask(d.namespace, "tcp", e.address, 80)).toBe("nothing");
    expect(await reach(d.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await reach(undefined, "tcp", c.address, 80)).toStartWith("c ");
    expect(ground.daemon.networks.settings(ground.daemon.state, a.id).networks["apart"]?.DNSNames).toEqual([
      "a",
      "alpha",
      a.id.slice(0, 12),
    ]);
    expect(ground.daemon.networks.inspect(id.slice(0, 10)).Containers?.[a.id]?.IPv4Address).toBe("172.19.0.9/16");
    await ground.daemon.networks.connect("bridge", a.id, {});
    expect(await reach(a.namespace, "tcp", b.address, 80)).toStartWith("b ");
    await ground.daemon.networks.disconnect("apart", a.id, { force: false });
    expect(await reach(a.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(Object.keys(ground.daemon.networks.settings(ground.daemon.state, a.id).networks)).toEqual(["bridge"]);
    await expect(ground.daemon.networks.remove("inner")).rejects.toThrow(
      'error while removing network: network inner has active endpoints (name:"c"',
    );
    for (const one of [a, b, c, d, e]) await one.stop();
    expect((await ground.daemon.networks.prune(new Map())).sort()).toEqual(["apart", "inner", "strangers"]);
    expect(await sh("ip -o link | grep -c ': br-' || true")).toBe("0");
    expect(await ruleset()).not.toContain("br-");
  });

  test("IPv6: its own subnet, published ports, and the way out", async () => {
    await sh(
      `ip -6 addr add 2001:db8::1/64 dev out0 nodad; nsenter --net=${ground.lab.outside} ip -6 addr add 2001:db8::2/64 dev in0 nodad`,
    );
    const ipam = { config: [{ subnet: "fd00:5::/64" }] };
    const plain = { driver: "bridge", internal: false, attachable: false, options: {}, labels: {} };
    await ground.daemon.networks.create({ ...plain, name: "six", enableIPv4: true, enableIPv6: true, ipam });
    const portBindings = { "80/tcp": [{ HostPort: "8300" }] };
    const [a, b] = [await ground.daemon.run("a6", { mode: "six", portBindings }), await ground.daemon.run("b6", { mode: "six" })];
    await ground.lab.echo("a6", ["tcp:80"], a.namespace);
    await ground.lab.echo("out6", ["tcp:9006"], ground.lab.outside);
    const settings = ground.daemon.networks.settings(ground.daemon.state, a.id);
    const place = settings.networks["six"];
    expect(place?.GlobalIPv6Address).toBe("fd00:5::2");
    expect(place?.IPv6Gateway).toBe("fd00:5::1");
    expect(settings.ports["80/tcp"]).toEqual(["0.0.0.0", "::"].map((HostIp) => ({ HostIp, HostPort: "8300" })));
    expect(await reach(b.namespace, "tcp", place?.GlobalIPv6Address ?? "", 80)).toBe("a6 fd00:5::3");
    expect(await reach(b.namespace, "tcp", "2001:db8::2", 9006)).toBe("out6 2001:db8::1");
    expect(await reach(ground.lab.outside, "tcp", "2001:db8::1", 8300)).toBe("a6 2001:db8::2");
    expect(await reach(ground.lab.outside, "tcp", HOST, 8300)).toBe(`a6 ${OUTSIDE}`);
    for (const one of [a, b]) await one.stop();
    await ground.daemon.networks.remove("six");
  });

  test("connect and disconnect while stopped hold from the next start on", async () => {
    await ground.daemon.networks.create({ ...PLAIN, name: "later" });
    const containerId = ground.daemon.row("sleeper");
    await ground.daemon.networks.connect("later", "sleeper", { Aliases: ["zz"] });
    await expect(ground.daemon.networks.connect("later", "sleeper", {})).rejects.toThrow(
      "endpoint with name sleeper already exists in network later",
    );
    for (let round = 0; round < 2; round++) {
      const one = await ground.daemon.run("sleeper", { containerId });
      const { networks } = ground.daemon.networks.settings(ground.daemon.state, containerId);
      expect(Object.keys(networks).sort()).toEqual(["bridge", "later"]);
      expect(networks["later"]?.DNSNames).toEqual(["sleeper", "zz", containerId.slice(0, 12)]);
      expect(await sh(`nsenter --net=${one.namespace} ip -br -4 addr show eth1`)).toContain(networks["later"]?.IPAddress ?? "?");
      await one.stop();
    }
    const still = ground.daemon.networks.settings(ground.daemon.state, containerId, { mode: "default", endpoints: {} }).networks;
    expect(Object.keys(still).sort()).toEqual(["bridge", "later"]);
    expect(still["bridge"]).toMatchObject({
      NetworkID: ground.daemon.networks.inspect("bridge").Id ?? "",
      EndpointID: "",
      IPAddress: "",
      MacAddress: "",
    });
    expect(
      Object.keys(ground.daemon.networks.settings(ground.daemon.state, containerId, { mode: "lost", endpoints: {} }).networks),
    ).toEqual(["lost", "later"]);
    await ground.daemon.networks.disconnect("bridge", "sleeper", { force: false });
    const alone = await ground.daemon.run("sleeper", { containerId });
    expect(Object.keys(ground.daemon.networks.settings(ground.daemon.state, containerId).networks)).toEqual(["later"]);
    expect(await reach(alone.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    await alone.stop();
    const events = ground.daemon.state.all<{ action: string }>(
      "SELECT action FROM events WHERE attributes_json LIKE ?",
      `%${containerId}%`,
    );
    const [connects, disconnects] = ["connect", "disconnect"].map((action) => events.filter((event) => event.action === action).length);
    expect([connects, disconnects]).toEqual([5, 5]);
    await ground.daemon.networks.remove("later");
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
    await ground.daemon.networks.create({ ...options, name: "front" });
    const web = await ground.daemon.run("mover", { portBindings: { "80/tcp": [{ HostPort: "8400" }] } });
    await ground.lab.echo("mover", ["tcp:80"], web.namespace);
    const answers = (): Promise<string> => ask(ground.lab.outside, "tcp", HOST, 8400);
    expect(await answers()).toBe(`mover ${OUTSIDE}`);
    await ground.daemon.networks.connect("front", web.id, { GwPriority: 5 });
    expect(await answers()).toBe(`mover ${OUTSIDE}`);
    expect(await ruleset()).toContain(
      `tcp . 8400 : ${ground.daemon.networks.settings(ground.daemon.state, web.id).networks["front"]?.IPAddress} . 80`,
    );
    await ground.daemon.networks.disconnect("front", web.id, { force: false });
    expect(await answers()).toBe(`mover ${OUTSIDE}`);
    await ground.daemon.networks.disconnect("bridge", web.id, { force: false });
    expect(await answers()).toBe("nothing");
    await ground.daemon.networks.connect("front", web.id, {});
    expect(await answers()).toBe(`mover ${OUTSIDE}`);
    expect(ground.daemon.networks.settings(ground.daemon.state, web.id).ports).toEqual({
      "80/tcp": ["0.0.0.0", "::"].map((HostIp) => ({ HostIp, HostPort: "8400" })),
    });
    await web.stop();
    expect(ground.daemon.state.all("SELECT * FROM ports")).toEqual([]);
    await ground.daemon.networks.remove("front");
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
    await ground.daemon.networks.create({ ...options, name: "named" });
    const db = await ground.daemon.run("Db", { mode: "named", endpoints: { named: { Aliases: ["store"] } } });
    const app = await ground.daemon.run("app", { mode: "named", endpoints: { named: { Links: ["Db:linked"] } }, dns: [OUTSIDE] });
    expect(app.resolvConf).toContain("nameserver 127.0.0.11\n");
    const asked = async (from: LabContainer, name: string, protocol = "udp", type = "A"): Promise<string> =>
      sh(`nsenter --net=${from.namespace} ${process.execPath} ${import.meta.dir}/lab-dig.ts ${protocol} ${type} ${name}`);
    for (const name of ["db", "DB", "store", "db.named", "linked", db.id.slice(0, 12)])
      expect(await asked(app, name)).toBe(`0 ${db.address}`);
    expect(await asked(app, "db", "tcp")).toBe(`0 ${db.address}`);
    expect(await asked(app, "db", "udp", "AAAA")).toBe("0");
    expect(await asked(db, `${app.address.split(".").toReversed().join(".")}.in-addr.arpa`, "udp", "PTR")).toBe("0 app.named");
    await ground.lab.spawn(["nsenter", `--net=${ground.lab.outside}`, process.execPath, `${import.meta.dir}/lab-dns.ts`, "198.51.100.7"]);
    await until(async () => (await asked(app, "far.example")) === "0 198.51.100.7");
    expect(await asked(app, "far.example", "tcp")).toBe("0 198.51.100.7");
    const [gateway] = app.address.split(/\.\d+$/);
    for (const host of ["host.docker.internal", "gateway.docker.internal"]) expect(await asked(app, host)).toBe(`0 ${gateway}.1`);
    await ground.lab.echo("own", ["tcp:53", "udp:53"], app.namespace);
    expect(await asked(app, "db")).toBe(`0 ${db.address}`);
    ground.daemon.state.write((tx) => ground.daemon.networks.rename(tx, db.id, "renamed"), { durable: false });
    expect([await asked(app, "renamed"), await asked(app, "store")]).toEqual([`0 ${db.address}`, `0 ${db.address}`]);
    await db.stop();
    expect(await asked(app, "renamed")).not.toContain(db.address);
    const { dataRoot } = ground.daemon.options;
    await ground.daemon.close();
    expect(await asked(app, "app")).toBe("nothing");
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
    ground.daemon.pids.set(app.id, app.pid);
    await ground.daemon.networks.restore([{ containerId: app.id, pid: app.pid }]);
    expect(await asked(app, "app")).toBe(`0 ${app.address}`);
    process.kill(app.pid, "SIGKILL");
    await ground.daemon.networks.leave(app.id);
    ground.daemon.state.write((tx) => ground.daemon.networks.release(tx, app.id), { durable: false });
    await ground.daemon.networks.remove("named");
  });
});
