import { expect, test } from "bun:test";
import { join } from "node:path";
import { eventsAfter } from "../state/events.ts";
import { type LabContainer, HOST, LabDaemon, OUTSIDE, PLAIN, ask, ruleset, sh, until } from "./lab.ts";
import { type Ground, labSuite } from "./lab-suite.ts";

const OTHER = "203.0.113.3";
const dig = async (one: LabContainer, type: string, name: string): Promise<string> =>
  await sh(`nsenter --net=${one.namespace} ${process.execPath} ${join(import.meta.dir, "lab-dig.ts")} udp ${type} ${name}`);

/** As `ask`, for what is to answer: on a busy machine an answer may take its time. */
async function reach(...asked: Parameters<typeof ask>): Promise<string> {
  for (let tries = 0; tries < 10; tries++) {
    const answer = await ask(...asked);
    if (answer !== "nothing") return answer;
  }
  return "nothing";
}

/** As `until`, for what a busy machine may be slow to tell. */
async function eventually(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 200 && !condition(); tries++) await Bun.sleep(100);
  expect(condition()).toBe(true);
}

/** What was refused of a container, as `address port protocol` or `name dns`. */
function refused({ daemon }: Ground, one: LabContainer): string[] {
  return eventsAfter(daemon.state, 0)
    .filter(({ action, attributes }) => action === "egress-refused" && attributes["container"] === one.id)
    .map(({ attributes: { address, host, port, protocol } }) =>
      [address ?? host, port, protocol].filter((part) => part !== undefined).join(" "),
    );
}

labSuite("egress rules", import.meta.path, (ground) => {
  test("nothing but what is allowed is reached, and what is refused is told", async () => {
    await sh(`nsenter --net=${ground.lab.outside} ip addr add ${OTHER}/24 dev in0`);
    const server = ground.lab.spawn([
      "nsenter",
      `--net=${ground.lab.outside}`,
      process.execPath,
      join(import.meta.dir, "lab-dns.ts"),
      OUTSIDE,
    ]);
    await until(async () => (await sh(`nsenter --net=${ground.lab.outside} ss -lun sport = :53 | wc -l`)) === "2");
    await ground.lab.echo("host", ["tcp:9001"]);
    const neighbour = await ground.daemon.run("neighbour");
    await ground.lab.echo("neighbour", ["tcp:80"], neighbour.namespace);
    const one = await ground.daemon.run("one", {
      egress: "example.org:9000/tcp",
      dns: [OUTSIDE],
      portBindings: { "80/tcp": [{ HostPort: "8400" }] },
    });
    await ground.lab.echo("one", ["tcp:80"], one.namespace);
    expect(one.resolvConf).toContain("nameserver 127.0.0.11");
    // An address as such is not allowed, whatever names it has.
    expect(await ask(one.namespace, "tcp", OUTSIDE, 9000)).toBe("nothing");
    expect(await ask(one.namespace, "tcp", HOST, 9001)).toBe("nothing");
    expect(await dig(one, "A", "example.com")).toBe("5");
    await eventually(() => new Set(refused(ground, one)).size >= 3);
    expect(new Set(refused(ground, one))).toEqual(new Set([`${HOST} 9001 tcp`, `${OUTSIDE} 9000 tcp`, "example.com dns"]));
    expect(await dig(one, "A", "example.org")).toBe(`0 ${OUTSIDE}`);
    expect(await reach(one.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await ask(one.namespace, "udp", OUTSIDE, 9000)).toBe("nothing");
    expect(await ask(one.namespace, "tcp", OTHER, 9000)).toBe("nothing");
    // Its own network, and what comes in, are no ways out.
    expect(await reach(one.namespace, "tcp", neighbour.address, 80)).toStartWith("neighbour ");
    expect(await reach(neighbour.namespace, "tcp", one.address, 80)).toStartWith("one ");
    expect(await reach(ground.lab.outside, "tcp", HOST, 8400)).toBe(`one ${OUTSIDE}`);
    expect(await reach(neighbour.namespace, "tcp", OTHER, 9000)).toBe(`outside ${HOST}`);
    for (const container of [one, neighbour]) await container.stop();
    server.kill("SIGKILL");
    expect(await ruleset()).not.toContain("lighter_egress");
  });

  test("a limited container cannot send in another's name", async () => {
    const neighbour = await ground.daemon.run("neighbour2");
    const one = await ground.daemon.run("one2", { egress: "none" });
    const lastByte = Number(neighbour.address.split(".")[3]);
    const free = neighbour.address.replace(/\d+$/, String(lastByte + 50));
    for (const address of [neighbour.address, free]) {
      await sh(`nsenter --net=${one.namespace} ip addr add ${address}/32 dev eth0`);
      const before = await received(ground);
      await sh(
        `nsenter --net=${one.namespace} timeout 1 ${process.execPath} -e 'const s=require("dgram").createSocket("udp4");s.bind(0,"${address}",()=>s.send("x",9000,"${OUTSIDE}",()=>setTimeout(()=>process.exit(0),100)))'`,
      );
      expect(await received(ground)).toBe(before);
    }
    for (const container of [one, neighbour]) await container.stop();
  });

  test("subnets of both families, the host by its name, other protocols", async () => {
    await sh(
      `ip -6 addr add 2001:db8::1/64 dev out0 nodad; nsenter --net=${ground.lab.outside} ip -6 addr add 2001:db8::2/64 dev in0 nodad`,
    );
    await ground.daemon.networks.create({ ...PLAIN, name: "six", enableIPv6: true, ipam: { config: [{ subnet: "fd00:6::/64" }] } });
    await ground.lab.echo("out6", ["tcp:9006", "tcp:9007"], ground.lab.outside);
    const egress = "[2001:db8::]/32:9006,203.0.113.0/24:9000-9006/udp,host.docker.internal:9001";
    const one = await ground.daemon.run("one6", { mode: "six", egress });
    await ground.lab.echo("host6", ["tcp:9002"]);
    const gateway = ground.daemon.networks.inspect("six").IPAM?.Config?.find(({ Subnet }) => !Subnet?.includes(":"))?.Gateway ?? "";
    expect(await reach(one.namespace, "tcp", "2001:db8::2", 9006)).toStartWith("out6 ");
    expect(await ask(one.namespace, "tcp", "2001:db8::2", 9007)).toBe("nothing");
    expect(await reach(one.namespace, "udp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await ask(one.namespace, "tcp", OUTSIDE, 9000)).toBe("nothing");
    expect(await reach(one.namespace, "tcp", gateway, 9001)).toStartWith("host ");
    expect(await ask(one.namespace, "tcp", gateway, 9002)).toBe("nothing");
    expect(await ask(one.namespace, "tcp", "fd00:6::1", 9002)).toBe("nothing");
    await eventually(() => refused(ground, one).includes("2001:db8::2 9007 tcp"));
    await one.stop();
    await ground.daemon.networks.remove("six");
  });

  test("a network's rules hold for who says nothing, and change while a container runs", async () => {
    await ground.daemon.networks.create({ ...PLAIN, name: "shut", labels: { "lighter.egress": "none" } });
    const quiet = await ground.daemon.run("quiet", { mode: "shut" });
    const loud = await ground.daemon.run("loud", { mode: "shut", egress: "any" });
    expect(await ask(quiet.namespace, "tcp", OUTSIDE, 9000)).toBe("nothing");
    expect(await reach(loud.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    const limit = async (egress: string | undefined): Promise<void> => {
      const then = ground.daemon.state.write((tx) => ground.daemon.networks.limitWays(tx, { ...quiet.request, egress }), {
        durable: false,
      });
      await then?.();
    };
    await limit(`${OUTSIDE}:9000`);
    expect(await reach(quiet.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    await limit(undefined);
    expect(await ask(quiet.namespace, "tcp", OUTSIDE, 9000)).toBe("nothing");
    // Another network is another way out, with limits of its own.
    await ground.daemon.networks.connect("bridge", quiet.id, { GwPriority: 5 });
    expect(await reach(quiet.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    await ground.daemon.networks.disconnect("bridge", quiet.id, { force: false });
    expect(await ask(quiet.namespace, "tcp", OUTSIDE, 9000)).toBe("nothing");
    for (const container of [quiet, loud]) await container.stop();
    await ground.daemon.networks.remove("shut");
  });

  test("what is open ends when the rules do not allow it any more, and nothing else does", async () => {
    const chat = join(import.meta.dir, "lab-chat.ts");
    const run = (space: string, ...words: string[]): Bun.Subprocess =>
      ground.lab.spawn(["nsenter", `--net=${space}`, process.execPath, chat, ...words]);
    const dns = ground.lab.spawn([
      "nsenter",
      `--net=${ground.lab.outside}`,
      process.execPath,
      join(import.meta.dir, "lab-dns.ts"),
      OUTSIDE,
    ]);
    const server = run(ground.lab.outside, "serve", "9300", "9301", "9302");
    await until(async () => (await sh(`nsenter --net=${ground.lab.outside} ss -ltn | grep -c :930 || true`)) === "3");
    await until(async () => (await sh(`nsenter --net=${ground.lab.outside} ss -lun sport = :53 | wc -l`)) === "2");
    const one = await ground.daemon.run("chatty", {
      egress: `${OUTSIDE}:9300-9301,www.example.org:9302,ftp.example.org:9302`,
      dns: [OUTSIDE],
    });
    const limit = async (egress: string): Promise<void> =>
      await ground.daemon.state.write((tx) => ground.daemon.networks.limitWays(tx, { ...one.request, egress }), { durable: false })?.();
    expect(await dig(one, "A", "www.example.org")).toBe(`0 ${OUTSIDE}`);
    expect(await dig(one, "A", "ftp.example.org")).toBe(`0 ${OUTSIDE}`);
    const lines: string[] = [];
    const client = run(one.namespace, "talk", OUTSIDE, "9300", "9301", "9302");
    const reading = (async () => {
      for await (const part of client.stdout as ReadableStream<Uint8Array>) lines.push(...Buffer.from(part).toString().trim().split("\n"));
    })();
    /** Waits until answers come from these ports alone. */
    const onlyFrom = async (...ports: string[]): Promise<void> =>
      await until(() => {
        const last = lines.slice(-30);
        return last.length === 30 && [...new Set(last)].toSorted().join(" ") === ports.join(" ");
      });
    await onlyFrom("9300", "9301", "9302");
    await limit(`203.0.113.0/24:9301,www.example.org:9302`);
    await onlyFrom("9301", "9302");
    await limit(`203.0.113.0/24:9301,other.example.org:9302`);
    await onlyFrom("9301");
    await limit("none");
    await until(async () => {
      const before = lines.length;
      await Bun.sleep(500);
      return lines.length === before;
    });
    for (const process of [client, server, dns]) process.kill("SIGKILL");
    await reading;
    await one.stop();
  });

  test("what the other side goes on sending does not open again what was ended", async () => {
    const push = `require("net").createServer((socket) => {
      socket.on("error", () => {});
      setInterval(() => socket.write("x"), 20);
    }).listen(9400, "::")`;
    const server = ground.lab.spawn([process.execPath, "-e", push]);
    await until(async () => (await sh("ss -ltn | grep -c :9400 || true")) === "1");
    const one = await ground.daemon.run("pushed", { egress: `${HOST}:9400` });
    const client = ground.lab.spawn([
      "nsenter",
      `--net=${one.namespace}`,
      process.execPath,
      join(import.meta.dir, "lab-chat.ts"),
      "talk",
      HOST,
      "9400",
    ]);
    let came = 0;
    const reading = (async () => {
      for await (const part of client.stdout as ReadableStream<Uint8Array>) came += part.length;
    })();
    await until(() => came > 0);
    await ground.daemon.state.write((tx) => ground.daemon.networks.limitWays(tx, { ...one.request, egress: "none" }), {
      durable: false,
    })?.();
    await until(async () => {
      const before = came;
      await Bun.sleep(500);
      return came === before;
    });
    for (const process of [client, server]) process.kill("SIGKILL");
    await reading;
    await one.stop();
  });

  test("rules and what names were allowed outlive the daemon", async () => {
    const server = ground.lab.spawn([
      "nsenter",
      `--net=${ground.lab.outside}`,
      process.execPath,
      join(import.meta.dir, "lab-dns.ts"),
      OUTSIDE,
    ]);
    await until(async () => (await sh(`nsenter --net=${ground.lab.outside} ss -lun sport = :53 | wc -l`)) === "2");
    const one = await ground.daemon.run("one3", { egress: "*.example.org:9000", dns: [OUTSIDE] });
    expect(await dig(one, "A", "www.example.org")).toBe(`0 ${OUTSIDE}`);
    await ground.daemon.close();
    expect(await reach(one.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await ask(one.namespace, "tcp", OTHER, 9000)).toBe("nothing");
    const { dataRoot } = ground.daemon.options;
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
    ground.daemon.pids.set(one.id, one.pid);
    await ground.daemon.networks.restore([{ containerId: one.id, pid: one.pid }]);
    expect(await reach(one.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await ask(one.namespace, "tcp", OTHER, 9000)).toBe("nothing");
    expect(await sh("nft list ruleset")).toMatch(new RegExp(`${one.address} \\. ${OUTSIDE} timeout`));
    expect(await dig(one, "A", "ftp.example.org")).toBe(`0 ${OUTSIDE}`);
    // Somebody throws all rules away: the next answer brings ours back first.
    await sh("nft delete table inet lighter_egress");
    expect(await dig(one, "A", "new.example.org")).toBe(`0 ${OUTSIDE}`);
    await sh("nft flush ruleset");
    await until(
      async () =>
        /table inet lighter_egress(.|\n)*reject/.test(await ruleset()) && (await ruleset()).includes("table bridge lighter_egress"),
    );
    expect(await reach(one.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await ask(one.namespace, "tcp", OTHER, 9000)).toBe("nothing");
    // Rules that the next daemon does not understand allow nothing, and keep nothing else from being restored.
    await ground.daemon.close();
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
    ground.daemon.pids.set(one.id, one.pid);
    const damage = "UPDATE endpoints SET config_json = replace(config_json, '*.example.org:9000', 'example.org:many')";
    ground.daemon.state.write((tx) => tx.run(damage), { durable: false });
    await ground.daemon.networks.restore([{ containerId: one.id, pid: one.pid }]);
    expect(await ask(one.namespace, "tcp", OUTSIDE, 9000)).toBe("nothing");
    process.kill(one.pid, "SIGKILL");
    await ground.daemon.networks.leave(one.id);
    ground.daemon.state.write((tx) => ground.daemon.networks.release(tx, one.id), { durable: false });
    server.kill("SIGKILL");
    expect(await ruleset()).not.toContain("lighter_egress");
  });
});

/** How many packets came in outside. */
async function received({ lab }: Ground): Promise<string> {
  return await sh(`nsenter --net=${lab.outside} sh -c "grep ^Udp: /proc/net/snmp | tail -1 | cut -d' ' -f2"`);
}
