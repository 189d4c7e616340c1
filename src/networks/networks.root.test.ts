import { expect, test } from "bun:test";
import { HOST, LabDaemon, OUTSIDE, ask, ruleset, sh, until, PLAIN, reach } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

labSuite("the default bridge", import.meta.path, (ground) => {
  test("the default bridge avoids the routes of the host", () => {
    const [config] = ground.daemon.networks.inspect("bridge").IPAM?.Config ?? [];
    expect(config).toEqual({ Subnet: "172.18.0.0/16", Gateway: "172.18.0.1" });
  });

  test("a container reaches the outside with the host's address", async () => {
    const one = await ground.daemon.run("one");
    expect(one.address).toStartWith("172.18.0.");
    expect(await reach(one.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await reach(one.namespace, "udp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    await one.stop();
  });

  test("published ports answer from everywhere, with the client's own address from outside", async () => {
    const portBindings = {
      "80/tcp": [{ HostPort: "8080" }],
      "53/udp": [{ HostPort: "5353" }],
      "81/tcp": [{ HostIp: "127.0.0.1", HostPort: "8081" }],
    };
    const web = await ground.daemon.run("web", { portBindings });
    const other = await ground.daemon.run("other");
    await ground.lab.echo("web", ["tcp:80", "udp:53", "tcp:81"], web.namespace);
    expect(await reach(ground.lab.outside, "tcp", HOST, 8080)).toBe(`web ${OUTSIDE}`);
    expect(await reach(ground.lab.outside, "udp", HOST, 5353)).toBe(`web ${OUTSIDE}`);
    expect(await reach(undefined, "tcp", HOST, 8080)).toStartWith("web ");
    expect(await reach(undefined, "tcp", "127.0.0.1", 8080)).toStartWith("web ");
    expect(await reach(undefined, "udp", "127.0.0.1", 5353)).toStartWith("web ");
    expect(await reach(undefined, "tcp", "127.0.0.1", 8081)).toStartWith("web ");
    expect(await ask(ground.lab.outside, "tcp", HOST, 8081)).toBe("nothing");
    expect(await reach(other.namespace, "tcp", HOST, 8080)).toStartWith("web ");
    expect(await reach(web.namespace, "tcp", HOST, 8080)).toStartWith("web ");
    expect(await reach(other.namespace, "tcp", web.address, 80)).toBe(`web ${other.address}`);
    expect(ground.daemon.networks.settings(ground.daemon.state, web.id).ports["80/tcp"]).toEqual(
      ["0.0.0.0", "::"].map((HostIp) => ({ HostIp, HostPort: "8080" })),
    );
    await web.stop();
    await other.stop();
    expect(await ask(ground.lab.outside, "tcp", HOST, 8080)).toBe("nothing");
  });

  test("the host's loopback and unpublished ports stay closed", async () => {
    const web = await ground.daemon.run("closed");
    await ground.lab.echo("web", ["tcp:80"], web.namespace);
    await ground.lab.echo("host", ["tcp:7000"]);
    expect(await reach(undefined, "tcp", web.address, 80)).toStartWith("web ");
    await sh(`nsenter --net=${web.namespace} ip route add 127.0.0.2 via 172.18.0.1 table local 2>/dev/null; true`);
    await sh(`nsenter --net=${ground.lab.outside} ip route add 172.18.0.0/16 via ${HOST}`);
    expect(await ask(ground.lab.outside, "tcp", web.address, 80)).toBe("nothing");
    await sh(`nsenter --net=${ground.lab.outside} ip route del 172.18.0.0/16`);
    // A packet for the host's own 127.0.0.1 that comes over the bridge, as only a forger would send it.
    const forged = "ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via 172.18.0.1 src " + web.address;
    await sh(`nsenter --net=${web.namespace} sh -c 'sysctl -qw net.ipv4.conf.all.route_localnet=1; ${forged}'`);
    expect(await reach(web.namespace, "tcp", HOST, 7000)).toStartWith("host ");
    expect(await ask(web.namespace, "tcp", "127.0.0.1", 7000)).toBe("nothing");
    await web.stop();
  });

  test("a port in use is told before the start, whoever holds it", async () => {
    const first = await ground.daemon.run("first", { portBindings: { "80/tcp": [{ HostPort: "8090" }] } });
    const wish = (HostPort: string, HostIp = ""): Promise<unknown> =>
      ground.daemon.run(`late${HostPort}${HostIp}`, { portBindings: { "80/tcp": [{ HostIp, HostPort }] } });
    const ours =
      /^failed to set up container networking: driver failed programming external connectivity on endpoint late8090 \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8090 failed: port is already allocated$/;
    await expect(wish("8090")).rejects.toThrow(ours);
    await expect(wish("8090", "127.0.0.1")).rejects.toThrow("Bind for 127.0.0.1:8090 failed: port is already allocated");
    const foreign = Bun.listen({ hostname: "127.0.0.1", port: 8091, socket: { data() {} } });
    await expect(wish("8091")).rejects.toThrow(/failed to bind host port 0\.0\.0\.0:8091\/tcp: address already in use$/);
    foreign.stop(true);
    await expect(wish("8091", "198.51.100.1")).rejects.toThrow("cannot assign requested address");
    const range = await ground.daemon.run("range", { portBindings: { "80/tcp": [{ HostPort: "8090-8092" }] } });
    expect(ground.daemon.networks.settings(ground.daemon.state, range.id).ports).toEqual({
      "80/tcp": ["0.0.0.0", "::"].map((HostIp) => ({ HostIp, HostPort: "8091" })),
    });
    const all = await ground.daemon.run("all", { exposed: ["80/tcp", "53/udp"], publishAll: true });
    const { ports } = ground.daemon.networks.settings(ground.daemon.state, all.id);
    for (const key of ["80/tcp", "53/udp"]) expect(Number(ports[key]?.[0]?.HostPort)).toBeWithin(32768, 61000);
    expect(() => Bun.listen({ hostname: "0.0.0.0", port: 8090, socket: { data() {} } })).toThrow();
    for (const container of [first, range, all]) await container.stop();
    Bun.listen({ hostname: "0.0.0.0", port: 8090, socket: { data() {} } }).stop(true);
    expect(ground.daemon.state.all("SELECT * FROM ports")).toEqual([]);
  });

  test("UDP senders that never pause reach whoever has the port now", async () => {
    const script = `const s = require("dgram").createSocket("udp4"); s.bind(40000);
      s.on("message", (m) => process.stdout.write(String(m))); setInterval(() => s.send("x", 5400, "${HOST}"), 20);`;
    const sender = ground.lab.spawn(["nsenter", `--net=${ground.lab.outside}`, process.execPath, "-e", script]);
    await Bun.sleep(200);
    let heard = "";
    void (async () => {
      for await (const part of sender.stdout as ReadableStream<Uint8Array>) heard += Buffer.from(part).toString();
    })();
    for (const name of ["udp1", "udp2"]) {
      const one = await ground.daemon.run(name, { portBindings: { "53/udp": [{ HostPort: "5400" }] } });
      await ground.lab.echo(name, ["udp:53"], one.namespace);
      await until(() => heard.includes(`${name} ${OUTSIDE}`));
      await one.stop();
    }
    sender.kill();
  });

  test("chains of others that drop are named with the command that opens them, and the MTU is that of the way out", async () => {
    await sh(
      "ip link set out0 mtu 1400; nft add table ip filter; nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy drop; }'",
    );
    const second = await LabDaemon.open(ground.lab, { bridgeName: "lighter2", table: "lighter_2" });
    await second.networks.restore([]);
    const { warning, id } = await second.networks.create({ ...PLAIN, name: "warned" });
    expect(warning).toContain('chain "ip filter FORWARD" (policy drop)');
    const one = await second.run("one");
    expect(await ask(one.namespace, "tcp", OUTSIDE, 9000)).toBe("nothing");
    const command = /open it with: (.*)$/.exec(warning)?.[1]?.replaceAll(`br-${id.slice(0, 12)}`, "lighter2") ?? "false";
    await sh(command);
    expect(await reach(one.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(
      await sh(
        `nsenter --net=${one.namespace} cat /sys/class/net/eth0/mtu 2>/dev/null || nsenter --net=${one.namespace} ip -o link show eth0`,
      ),
    ).toContain("1400");
    await one.stop();
    await second.networks.remove("warned");
    await second.close();
    second.forget();
    await sh("ip link set out0 mtu 1500; nft delete table ip filter");
  });

  test("modes none, host and container", async () => {
    const none = await ground.daemon.run("none", { mode: "none" });
    expect(await sh(`nsenter --net=${none.namespace} ip -br link`)).toMatch(/^lo +UNKNOWN[^\n]*$/);
    const host = await ground.daemon.run("host", { mode: "host" });
    expect(await sh(`readlink ${host.namespace}`)).toBe(await sh("readlink /proc/self/ns/net"));
    const web = await ground.daemon.run("shared");
    const guest = await ground.daemon.run("guest", { mode: "container:shared" });
    expect(await sh(`readlink ${guest.namespace}`)).toBe(await sh(`readlink ${web.namespace}`));
    expect(guest.hosts).toBeUndefined();
    expect(web.hosts).toContain(`${web.address}\t${web.id.slice(0, 12)}\n`);
    expect(ground.daemon.networks.settings(ground.daemon.state, guest.id).networks).toEqual({});
    for (const one of [none, host, guest, web]) await one.stop();
    await expect(ground.daemon.run("late", { mode: "container:shared" })).rejects.toThrow("cannot join network of a non running container");
    expect(() => ground.daemon.networks.check(ground.daemon.request("lost", { mode: "nowhere" }))).toThrow("network nowhere not found");
  });

  test("nothing is left of 40 containers, and no thread stays elsewhere", async () => {
    const before = await ruleset();
    for (let round = 0; round < 5; round++) {
      const some = await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          ground.daemon.run(`r${round}-${index}`, { portBindings: { "80/tcp": [{ HostPort: String(8100 + index) }] } }),
        ),
      );
      expect(new Set(some.map(({ address }) => address)).size).toBe(8);
      await Promise.all(some.map((one) => one.stop()));
    }
    expect(await ruleset()).toBe(before);
    expect(ground.daemon.state.all("SELECT id FROM endpoints WHERE address4 IS NOT NULL")).toEqual([]);
    // The pool is filled again: a thread may be away for a moment.
    await until(async () => (await sh(`readlink /proc/${process.pid}/task/*/ns/net | sort -u`)).split("\n").length === 1);
  });
});
