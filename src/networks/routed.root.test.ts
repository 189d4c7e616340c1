import { expect, test } from "bun:test";
import { HOST, LabDaemon, OUTSIDE, PLAIN, ask, reach, ruleset, sh, until } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

labSuite("networks whose containers are reached at their own addresses", import.meta.path, (ground) => {
  const mode = (family: 4 | 6): string => `com.docker.network.bridge.gateway_mode_ipv${family}`;
  const outside = (host: string, port: number): Promise<string> => ask(ground.lab.outside, "tcp", host, port);
  const becomes = (host: string, port: number, answer: string): Promise<void> => until(async () => (await outside(host, port)) === answer);
  /** The outside knows the way to a subnet, as a router beside the host would. */
  const route = (subnet: string, via: string): Promise<string> =>
    sh(`nsenter --net=${ground.lab.outside} ip route replace ${subnet} via ${via}`);

  test("published ports are open there and no others, nothing is translated, and the host's rules decide", async () => {
    await route("10.66.0.0/24", HOST);
    await ground.daemon.networks.create({
      ...PLAIN,
      name: "plain",
      options: { [mode(4)]: "routed" },
      ipam: { config: [{ subnet: "10.66.0.0/24" }] },
    });
    const one = await ground.daemon.run("one", { mode: "plain", portBindings: { "80/tcp": [{ HostPort: "8088" }] } });
    await ground.lab.echo("one", ["tcp:80", "tcp:81"], one.namespace);
    await becomes(one.address, 80, `one ${OUTSIDE}`);
    expect(await outside(one.address, 81)).toBe("nothing");
    expect(await outside(HOST, 8088)).toBe("nothing");
    expect(await reach(undefined, "tcp", one.address, 80)).toStartWith("one ");
    expect(await reach(one.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${one.address}`);
    expect(ground.daemon.networks.settings(ground.daemon.state, one.id).ports).toEqual({ "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "" }] });
    expect(await ground.daemon.networks.reachable()).toMatchObject([{ hostAddress: one.address, hostPort: 80, reach: "open" }]);

    await sh(
      "nft 'table inet mine { chain in { type filter hook input priority 0; policy drop; ct state established accept; iifname lo accept; }; }'",
    );
    await becomes(one.address, 80, "nothing");
    await sh("nft add rule inet mine in tcp dport 80 accept");
    await becomes(one.address, 80, `one ${OUTSIDE}`);
    await sh("nft delete table inet mine");

    const portBindings = { "81/tcp": [{ HostPort: "" }] };
    await ground.daemon.state.write((tx) => ground.daemon.networks.republish(tx, { ...one.request, portBindings }), { durable: false })?.();
    await becomes(one.address, 81, `one ${OUTSIDE}`);
    await becomes(one.address, 80, "nothing");

    await ground.daemon.networks.reconfigure({ reach: "loopback" });
    await becomes(one.address, 81, "nothing");
    expect(await reach(undefined, "tcp", one.address, 81)).toStartWith("one ");
    await ground.daemon.networks.reconfigure({ reach: "firewall" });
    await becomes(one.address, 81, `one ${OUTSIDE}`);

    const { dataRoot } = ground.daemon.options;
    await ground.daemon.close();
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
    ground.daemon.pids.set(one.id, one.pid);
    await ground.daemon.networks.restore([{ containerId: one.id, pid: one.pid }]);
    await becomes(one.address, 81, `one ${OUTSIDE}`);
    process.kill(one.pid, "SIGKILL");
    await ground.daemon.networks.leave(one.id);
    ground.daemon.state.write((tx) => ground.daemon.networks.release(tx, one.id), { durable: false });
    expect(await ruleset()).not.toContain(one.address);
    await ground.daemon.networks.remove("plain");
    expect(await ruleset()).not.toContain("10.66");
  });

  test("who never stops sending datagrams reaches a port no longer than it is published", async () => {
    await route("10.69.0.0/24", HOST);
    const ipam = { config: [{ subnet: "10.69.0.0/24" }] };
    await ground.daemon.networks.create({ ...PLAIN, name: "steady", options: { [mode(4)]: "routed" }, ipam });
    const five = await ground.daemon.run("five", { mode: "steady", portBindings: { "83/udp": [{}], "80/tcp": [{}] } });
    await ground.lab.echo("five", ["tcp:80"], five.namespace);
    // One answer makes the two known to each other; a later one that is under way could make them so again.
    const serve = `const socket = require("dgram").createSocket("udp4");
      let count = 0;
      socket.on("message", (_, { port, address }) => {
        if (count++ === 0) socket.send("answer", port, address);
        console.log("came");
      });
      socket.bind(83);`;
    const send = `const socket = require("dgram").createSocket("udp4");
      setInterval(() => socket.send("x", 83, "${five.address}"), 20);`;
    const server = ground.lab.spawn(["nsenter", `--net=${five.namespace}`, process.execPath, "-e", serve]);
    await until(async () => (await sh(`nsenter --net=${five.namespace} ss -lunH sport = :83`)) !== "");
    const client = ground.lab.spawn(["nsenter", `--net=${ground.lab.outside}`, process.execPath, "-e", send]);
    let came = 0;
    const reading = (async () => {
      for await (const part of server.stdout as ReadableStream<Uint8Array>) came += part.length;
    })();
    await until(() => came > 20);
    const portBindings = { "80/tcp": [{}] };
    await ground.daemon.state.write((tx) => ground.daemon.networks.republish(tx, { ...five.request, portBindings }), {
      durable: false,
    })?.();
    await until(async () => {
      const before = came;
      await Bun.sleep(500);
      return came === before;
    });
    await becomes(five.address, 80, `five ${OUTSIDE}`);
    for (const process of [client, server]) process.kill("SIGKILL");
    await reading;
    await five.stop();
    await ground.daemon.networks.remove("steady");
  });

  test("who joins while it runs has its ports open there, and an address by default that is not every one opens none", async () => {
    await route("10.68.0.0/24", HOST);
    const options = { [mode(4)]: "routed" };
    await ground.daemon.networks.create({ ...PLAIN, name: "late", options, ipam: { config: [{ subnet: "10.68.0.0/24" }] } });
    const three = await ground.daemon.run("three", {
      portBindings: { "80/tcp": [{ HostPort: "8090" }], "81/tcp": [{ HostIp: HOST, HostPort: "8091" }] },
    });
    await ground.lab.echo("three", ["tcp:80", "tcp:81"], three.namespace);
    await ground.daemon.networks.connect("late", three.id, { GwPriority: 9 });
    const address = ground.daemon.networks.settings(ground.daemon.state, three.id).networks["late"]?.IPAddress ?? "";
    await becomes(address, 80, `three ${OUTSIDE}`);
    expect(await outside(address, 81)).toBe("nothing");
    await ground.daemon.networks.disconnect("bridge", three.id, { force: false });
    await becomes(address, 80, `three ${OUTSIDE}`);
    await ground.daemon.networks.connect("bridge", three.id, { GwPriority: 10 });
    await until(async () => !(await sh("nft list set inet lighter direct4")).includes(address));
    await ground.daemon.networks.disconnect("bridge", three.id, { force: false });
    await becomes(address, 80, `three ${OUTSIDE}`);
    await ground.daemon.networks.connect("bridge", three.id, { GwPriority: 10 });
    await ground.daemon.state.write((tx) => ground.daemon.networks.republish(tx, { ...three.request, portBindings: {} }), {
      durable: false,
    })?.();
    await ground.daemon.networks.disconnect("bridge", three.id, { force: false });
    await until(async () => !(await sh("nft list set inet lighter direct4")).includes(address));
    await three.stop();
    await ground.daemon.networks.disconnect("late", three.id, { force: false });
    await ground.daemon.networks.remove("late");

    options["com.docker.network.bridge.host_binding_ipv4"] = "127.0.0.1";
    await ground.daemon.networks.create({ ...PLAIN, name: "inner", options, ipam: { config: [{ subnet: "10.68.0.0/24" }] } });
    const portBindings = { "80/tcp": [{ HostPort: "8090" }], "81/tcp": [{ HostIp: "0.0.0.0", HostPort: "8091" }] };
    const four = await ground.daemon.run("four", { mode: "inner", portBindings });
    await ground.lab.echo("four", ["tcp:80", "tcp:81"], four.namespace);
    await becomes(four.address, 81, `four ${OUTSIDE}`);
    expect(await outside(four.address, 80)).toBe("nothing");
    await four.stop();
    await ground.daemon.networks.remove("inner");
  });

  test("one family is translated and the other is not", async () => {
    const [host6, outside6] = ["2001:db8::1", "2001:db8::2"];
    await sh(`ip -6 addr add ${host6}/64 dev out0 nodad; nsenter --net=${ground.lab.outside} ip -6 addr add ${outside6}/64 dev in0 nodad`);
    await route("2001:db8:66::/64", host6);
    const config = [{ subnet: "10.67.0.0/24" }, { subnet: "2001:db8:66::/64" }];
    await ground.daemon.networks.create({ ...PLAIN, name: "half", enableIPv6: true, options: { [mode(6)]: "routed" }, ipam: { config } });
    const portBindings = { "80/tcp": [{ HostPort: "8089" }], "81/tcp": [{ HostIp: "::", HostPort: "" }] };
    const two = await ground.daemon.run("two", { mode: "half", portBindings });
    await ground.lab.echo("two", ["tcp:80", "tcp:81"], two.namespace);
    const settings = ground.daemon.networks.settings(ground.daemon.state, two.id);
    const address6 = settings.networks["half"]?.GlobalIPv6Address ?? "";
    expect(settings.ports).toEqual({
      "80/tcp": [
        { HostIp: "0.0.0.0", HostPort: "8089" },
        { HostIp: "::", HostPort: "" },
      ],
      "81/tcp": [{ HostIp: "::", HostPort: "" }],
    });
    await becomes(HOST, 8089, `two ${OUTSIDE}`);
    await becomes(address6, 80, `two ${outside6}`);
    await becomes(address6, 81, `two ${outside6}`);
    expect(await outside(host6, 8089)).toBe("nothing");
    const echo = `nsenter --net=${ground.lab.outside} ${process.execPath} ${import.meta.dir}/lab-icmp6.ts ${address6} 128`;
    const asked = (): Promise<string> => sh(`nsenter --net=${two.namespace} grep -w Icmp6InEchos /proc/net/snmp6`);
    expect(await asked()).toMatch(/\t0$/);
    await until(async () => (await sh(echo)) === "" && /\t[1-9]\d*$/.test(await asked()));
    expect(await reach(two.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await reach(two.namespace, "tcp", outside6, 9000)).toBe(`outside ${address6}`);
    await two.stop();
    await ground.daemon.networks.remove("half");
    expect(await ruleset()).not.toContain("2001:db8:66");
  });
});
