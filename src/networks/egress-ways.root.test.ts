import { expect, test } from "bun:test";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { HOST, type LabContainer, OUTSIDE, PLAIN, ask, sh, until } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

/** Sends a datagram from a container's namespace, to groups of hosts, too, and returns the answer; `nothing` when none comes within 0.7 s. */
async function datagram({ namespace }: Pick<LabContainer, "namespace">, family: 4 | 6, host: string, port: number): Promise<string> {
  const script = `const s = require("dgram").createSocket("udp${family}");
    s.on("message", (answer) => { console.log(String(answer).trim()); process.exit(0); });
    s.bind(0, () => { if (${family} === 4) s.setBroadcast(true); s.send("x", ${port}, "${host}"); });
    setTimeout(() => process.exit(0), 700);`;
  const answer = await sh(`nsenter --net=${namespace} ${process.execPath} -e '${script}'`);
  return answer === "" ? "nothing" : answer;
}

/** As `datagram`, for what is to answer: on a busy machine an answer may take its time. */
async function answered(...asked: Parameters<typeof datagram>): Promise<string> {
  for (let tries = 0; tries < 10; tries++) {
    const answer = await datagram(...asked);
    if (answer !== "nothing") return answer;
  }
  return "nothing";
}

labSuite("ways around egress rules", import.meta.path, (ground) => {
  test("the host is not reached by addresses that mean the whole network", async () => {
    await ground.daemon.networks.create({ ...PLAIN, name: "six", enableIPv6: true, ipam: { config: [{ subnet: "fd00:6::/64" }] } });
    await ground.lab.echo("host", ["udp:9003"]);
    const free = await ground.daemon.run("free", { mode: "six" });
    const one = await ground.daemon.run("one", { mode: "six", egress: "none" });
    const everybody = one.address.replace(/\d+\.\d+$/, "255.255");
    expect(await answered(free, 4, everybody, 9003)).toStartWith("host ");
    expect(await datagram(one, 4, everybody, 9003)).toBe("nothing");
    expect(await answered(free, 6, "fd00:6::", 9003)).toStartWith("host ");
    expect(await datagram(one, 6, "fd00:6::", 9003)).toBe("nothing");
    for (const container of [one, free]) await container.stop();
    await ground.daemon.networks.remove("six");
  });

  test("no frame of a limited container comes to the host in another's name", async () => {
    const free = await ground.daemon.run("free7");
    const one = await ground.daemon.run("one7", { egress: "none" });
    // Nobody listens: of those that come the kernel counts "no port".
    const came = async (): Promise<number> => Number(await sh("grep ^Udp: /proc/net/snmp | tail -1 | cut -d' ' -f3"));
    const send = async ({ namespace }: LabContainer): Promise<string> =>
      await sh(`nsenter --net=${namespace} ${process.execPath} ${join(import.meta.dir, "lab-frame.ts")} eth0 192.0.2.77 ${HOST} 9033`);
    const before = await came();
    await send(free);
    await until(async () => (await came()) > before);
    const each = (await came()) - before;
    await send(one);
    await send(free);
    await until(async () => (await came()) >= before + 2 * each);
    expect(await came()).toBe(before + 2 * each);
    for (const container of [one, free]) await container.stop();
  });

  test("neighbour discovery carries nothing out", async () => {
    await sh(
      `ip -6 addr add 2001:db8::1/64 dev out0 nodad; nsenter --net=${ground.lab.outside} ip -6 addr add 2001:db8::2/64 dev in0 nodad`,
    );
    await ground.daemon.networks.create({ ...PLAIN, name: "six", enableIPv6: true, ipam: { config: [{ subnet: "fd00:6::/64" }] } });
    const free = await ground.daemon.run("free2", { mode: "six" });
    const one = await ground.daemon.run("one2", { mode: "six", egress: "none" });
    const send = async ({ namespace }: LabContainer, type: number): Promise<string> =>
      await sh(`nsenter --net=${namespace} ${process.execPath} ${join(import.meta.dir, "lab-icmp6.ts")} 2001:db8::2 ${type}`);
    const came = async (type: number): Promise<number> =>
      Number(await sh(`nsenter --net=${ground.lab.outside} sh -c "sed -n 's/^Icmp6InType${type}[^0-9]*//p' /proc/net/snmp6"`));
    await send(one, 134);
    // What a container without limits sends later comes, by the same way.
    for (let tries = 0; tries < 40 && (await came(137)) === 0; tries++) {
      await send(free, 137);
      await Bun.sleep(50);
    }
    expect(await came(137)).toBeGreaterThan(0);
    expect(await came(134)).toBe(0);
    for (const container of [one, free]) await container.stop();
    await ground.daemon.networks.remove("six");
  });

  test("who shares a namespace keeps its limits when the other one ends", async () => {
    const one = await ground.daemon.run("one3", { egress: "none" });
    const sharer = ground.lab.spawn(["nsenter", `--net=${one.namespace}`, "sleep", "60"]);
    await until(async () => (await sh(`cat /proc/${sharer.pid}/comm`)) === "sleep");
    await one.stop();
    expect(await sh(`nsenter --net=/proc/${sharer.pid}/ns/net ip -o link`)).not.toContain("eth0");
    sharer.kill("SIGKILL");
  });

  test("a container's own list goes with it from network to network", async () => {
    for (const name of ["first", "second"]) await ground.daemon.networks.create({ ...PLAIN, name });
    const { networks } = ground.daemon;
    const one = await ground.daemon.run("one4", { mode: "first", egress: "none" });
    await networks.disconnect("first", one.id, { force: false });
    await networks.connect("second", one.id, {});
    expect(await ask(one.namespace, "tcp", OUTSIDE, 9000)).toBe("nothing");
    expect(await ask(one.namespace, "tcp", HOST, 9000)).toBe("nothing");
    await one.stop();
    for (const name of ["first", "second"]) await networks.remove(name);
  });

  test("an address brings nothing along that its last container had begun", async () => {
    await ground.daemon.networks.create({ ...PLAIN, name: "same", ipam: { config: [{ subnet: "10.55.0.0/24" }] } });
    const endpoints = { same: { IPAMConfig: { IPv4Address: "10.55.0.9" } } };
    // From one port to another: to the kernel the same flow.
    const again = async ({ namespace }: LabContainer): Promise<string> => {
      const script = `const s = require("dgram").createSocket("udp4");
        s.on("error", () => {}); s.on("message", () => { console.log("answer"); process.exit(0); });
        s.bind(4444, () => s.send("x", 9000, "${OUTSIDE}")); setTimeout(() => process.exit(0), 700);`;
      return await sh(`nsenter --net=${namespace} ${process.execPath} -e '${script}'`);
    };
    const free = await ground.daemon.run("free6", { mode: "same", endpoints });
    for (let tries = 0, answer = ""; answer === ""; tries++) {
      answer = await again(free);
      expect(tries).toBeLessThan(10);
    }
    await free.stop();
    const one = await ground.daemon.run("one6", { mode: "same", endpoints, egress: "none" });
    expect(one.address).toBe(free.address);
    expect(await again(one)).toBe("");
    await one.stop();
    await ground.daemon.networks.remove("same");
  });

  test("no limit where nothing could enforce it, whatever came first", async () => {
    const { networks, state } = ground.daemon;
    await networks.create({ ...PLAIN, name: "words", configOnly: true, labels: { "lighter.egress": "none" } });
    const parent = { parent: "out0" };
    const bare = networks.create({ ...PLAIN, name: "bare", driver: "macvlan", configFrom: "words" });
    expect(await bare.then(() => "made", messageOf)).toContain('macvlan network "bare"');
    await networks.remove("words");
    await networks.create({ ...PLAIN, name: "lan", driver: "macvlan", options: parent });
    const ended = ground.daemon.request("ended", { egress: "none" });
    ground.daemon.egress.set(ended.containerId, "none");
    expect(await networks.connect("lan", ended.containerId, {}).then(() => "joined", messageOf)).toContain('macvlan network "lan"');
    // One that joined while nothing limited it stays without limits, and says so.
    const free = await ground.daemon.run("free5");
    await networks.connect("lan", free.id, {});
    expect(() => networks.check({ ...free.request, egress: "none" })).toThrow(/macvlan network "lan"/);
    const joined = ground.daemon.request("joined");
    await networks.connect("lan", joined.containerId, {});
    const limited = { ...joined, egress: "none" };
    expect(() => state.write((tx) => networks.reserve(tx, limited), { durable: false })).toThrow(/macvlan network "lan"/);
    // What goes to another machine's address within the network never comes by this host's rules.
    const past = { config: [{ subnet: "10.91.0.0/24", auxAddresses: { DefaultGatewayIPv4: "10.91.0.9" } }] };
    const shut = networks.create({ ...PLAIN, name: "past", ipam: past, labels: { "lighter.egress": "none" } });
    expect(await shut.then(() => "made", messageOf)).toContain("its way out is another address than this host's");
    await networks.create({ ...PLAIN, name: "past", ipam: past });
    expect(() => networks.check(ground.daemon.request("by", { mode: "past", egress: "none" }))).toThrow(/bridge network "past"/);
    expect(await networks.connect("past", ended.containerId, {}).then(() => "joined", messageOf)).toContain('bridge network "past"');
    await networks.remove("past");
    await free.stop();
    for (const { containerId } of [joined, free.request]) await networks.disconnect("lan", containerId, { force: false });
    await networks.remove("lan");
  });
});
