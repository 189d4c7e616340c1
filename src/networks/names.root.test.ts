import { expect, test } from "bun:test";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LabContainer, LabDaemon, OUTSIDE, PLAIN, sh, until } from "./lab.ts";
import { type Ground, labSuite } from "./lab-suite.ts";

const FULL = process.env["LIGHTER_TEST_FULL"] === "1";

const dig = async (one: LabContainer, name: string, protocol = "udp", type = "A"): Promise<string> =>
  await sh(`nsenter --net=${one.namespace} ${process.execPath} ${join(import.meta.dir, "lab-dig.ts")} ${protocol} ${type} ${name}`);

/** A name server outside, on an address of its own, in a way of its own (see lab-liar.ts). */
async function server({ lab }: Ground, address: string, mode: string): Promise<() => void> {
  await sh(`nsenter --net=${lab.outside} ip addr replace ${address}/24 dev in0`);
  const child = lab.spawn(["nsenter", `--net=${lab.outside}`, process.execPath, join(import.meta.dir, "lab-liar.ts"), address, mode]);
  const reader = (child.stdout as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  reader.releaseLock();
  return () => child.kill("SIGKILL");
}

labSuite("names", import.meta.path, (ground) => {
  test("hosts and resolv.conf follow a running container from network to network, but for what somebody wrote there", async () => {
    await ground.daemon.networks.create({ ...PLAIN, name: "live" });
    const other = await ground.daemon.run("other", { mode: "live" });
    for (const [name, edited] of [
      ["uno1", false],
      ["uno2", true],
    ] as const) {
      const one = await ground.daemon.run(name, { dns: [OUTSIDE], dnsSearch: ["a.example"] });
      const [hosts, resolvConf] = ["hosts", "resolv"].map((file) => join(ground.daemon.options.dataRoot, `${one.id}.${file}`));
      if (hosts === undefined || resolvConf === undefined) throw new Error("no paths");
      const own = `${one.resolvConf ?? ""}${edited ? "# edited\n" : ""}`;
      await writeFile(hosts, `${one.hosts ?? ""}192.0.2.9\tmine\n`);
      await writeFile(resolvConf, own);
      await ground.daemon.networks.connect("live", one.id, { Aliases: ["uno"] });
      const address = ground.daemon.networks.settings(ground.daemon.state, one.id).networks["live"]?.IPAddress ?? "";
      const names = one.id.slice(0, 12);
      expect(await readFile(hosts, "utf8")).toBe(`${one.hosts ?? ""}192.0.2.9\tmine\n${address}\t${names}\n`);
      expect(await dig(one, "other")).toBe(`0 ${other.address}`);
      for (const known of ["uno", name, names]) expect(await dig(other, known)).toBe(`0 ${address}`);
      const text = await readFile(resolvConf, "utf8");
      if (edited) expect(text).toBe(own);
      else expect(text).toContain("nameserver 127.0.0.11\nsearch a.example\noptions ndots:0\n");
      await ground.daemon.networks.disconnect("live", one.id, { force: false });
      expect(await readFile(hosts, "utf8")).toBe(`${one.hosts ?? ""}192.0.2.9\tmine\n`);
      expect(await dig(other, "uno")).not.toContain(address);
      await one.stop();
    }
    await other.stop();
    await ground.daemon.networks.remove("live");
  });

  test("several containers of one name take turns; a network of IPv6 alone; the host by its names, and names of addresses", async () => {
    await ground.daemon.networks.create({
      ...PLAIN,
      name: "sixes",
      enableIPv4: false,
      enableIPv6: true,
      ipam: { config: [{ subnet: "fd00:53::/64" }] },
    });
    const all: LabContainer[] = [];
    for (const name of ["r1", "r2", "r3"])
      all.push(await ground.daemon.run(name, { mode: "sixes", endpoints: { sixes: { Aliases: ["round"] } } }));
    const [first] = all;
    if (first === undefined) throw new Error("none");
    const answers: string[] = [];
    for (let turn = 0; turn < 3; turn++) answers.push(await dig(first, "round", "udp", "AAAA"));
    expect(new Set(answers.map((answer) => answer.split(" ")[1])).size).toBe(3);
    for (const answer of answers) expect(answer.split(" ").slice(1).sort()).toEqual(["fd00:53::2", "fd00:53::3", "fd00:53::4"]);
    expect(await dig(first, "round", "tcp", "AAAA")).toContain("fd00:53::3");
    expect(await dig(first, "r2")).toBe("0");
    for (const name of ["host.docker.internal", "gateway.docker.internal"])
      expect(await dig(first, name, "udp", "AAAA")).toBe("0 fd00:53::1");
    const reverse = Array.from("fd000053000000000000000000000003").toReversed().join(".");
    expect(await dig(first, `${reverse}.ip6.arpa`, "udp", "PTR")).toBe("0 r2.sixes");
    for (const one of all) await one.stop();
    await ground.daemon.networks.remove("sixes");
  });

  test("a name server that lies or fails is not believed while another one knows; a cut answer is asked for by TCP", async () => {
    const [liar, failing, good, cut] = ["203.0.113.10", "203.0.113.11", "203.0.113.12", "203.0.113.13"] as const;
    await ground.daemon.networks.create({ ...PLAIN, name: "asks" });
    await sh(`nsenter --net=${ground.lab.outside} ip addr replace ${good}/24 dev in0`);
    const honest = ground.lab.spawn([
      "nsenter",
      `--net=${ground.lab.outside}`,
      process.execPath,
      join(import.meta.dir, "lab-dns.ts"),
      "198.51.100.7",
      good,
    ]);
    for (const mode of ["number", "question", "silent"]) {
      const stop = await server(ground, liar, mode);
      const one = await ground.daemon.run(`asks-${mode}`, { mode: "asks", dns: [liar, good] });
      for (const protocol of ["udp", "tcp"]) await until(async () => (await dig(one, `${mode}.example`, protocol)) === "0 198.51.100.7");
      await one.stop();
      stop();
    }
    const stops = [await server(ground, failing, "fails"), await server(ground, cut, "cut")];
    const one = await ground.daemon.run("asker", { mode: "asks", dns: [failing, good] });
    for (const protocol of ["udp", "tcp"]) await until(async () => (await dig(one, "fails.example", protocol)) === "0 198.51.100.7");
    const alone = await ground.daemon.run("alone", { mode: "asks", dns: [failing] });
    expect(await dig(alone, "fails.example")).toBe("2");
    const long = await ground.daemon.run("long", { mode: "asks", dns: [cut] });
    await until(async () => (await dig(long, "cut.example", "udp")) === "0");
    expect(await dig(long, "cut.example", "tcp")).toBe("0 198.51.100.66");
    for (const container of [one, alone, long]) await container.stop();
    for (const stop of stops) stop();
    honest.kill("SIGKILL");
    await ground.daemon.networks.remove("asks");
  });

  test("the host's name servers are asked as they are at that moment, behind systemd-resolved's stub, too", async () => {
    const [one, two] = ["203.0.113.31", "203.0.113.32"] as const;
    const folder = await mkdtemp(join(tmpdir(), "lighter-resolv-"));
    const file = join(folder, "resolv.conf");
    await writeFile(file, `nameserver ${one}\n`);
    // In the mount namespace of this test alone.
    await sh(`mount --bind ${file} /etc/resolv.conf; mount -t tmpfs none /run; mkdir -p /run/systemd/resolve`);
    const servers: (() => void)[] = [];
    for (const [address, answer] of [
      [one, "198.51.100.1"],
      [two, "198.51.100.2"],
    ] as const)
      servers.push(await server(ground, address, answer));
    await ground.daemon.networks.create({ ...PLAIN, name: "follows" });
    const asker = await ground.daemon.run("follower", { mode: "follows" });
    await until(async () => (await dig(asker, "host.example")) === "0 198.51.100.1");
    await writeFile(file, `nameserver ${two}\n`);
    await until(async () => (await dig(asker, "host.example")) === "0 198.51.100.2");
    await writeFile("/run/systemd/resolve/resolv.conf", `nameserver ${one}\nsearch stub.example\n`);
    await writeFile(file, "nameserver 127.0.0.53\noptions edns0\n");
    await until(async () => (await dig(asker, "host.example")) === "0 198.51.100.1");
    const behind = await ground.daemon.run("behind");
    expect(behind.resolvConf).toContain(`nameserver ${one}\nsearch stub.example\n`);
    for (const container of [asker, behind]) await container.stop();
    for (const stop of servers) stop();
    await sh("umount /etc/resolv.conf; umount /run");
    await rm(folder, { recursive: true });
    await ground.daemon.networks.remove("follows");
  });

  test("who floods its resolver, or writes nonsense to it, keeps nobody else waiting and leaves nothing open", async () => {
    await ground.daemon.networks.create({ ...PLAIN, name: "flooded" });
    const stop = await server(ground, "203.0.113.20", "silent");
    const wild = await ground.daemon.run("wild", { mode: "flooded", dns: ["203.0.113.20"] });
    const calm = await ground.daemon.run("calm", { mode: "flooded" });
    const before = await descriptors();
    const seed = Number(process.env["LIGHTER_TEST_SEED"] ?? Date.now() % 1_000_000);
    const flood = ground.lab.spawn([
      "nsenter",
      `--net=${wild.namespace}`,
      process.execPath,
      join(import.meta.dir, "lab-flood.ts"),
      String(seed),
      FULL ? "100000" : "2000",
    ]);
    for (let asked = 0; asked < 5; asked++) await until(async () => (await dig(calm, "calm")) === `0 ${calm.address}`);
    expect(await descriptors(), `seed ${seed}`).toBeLessThan(before + 600);
    expect(await flood.exited, `seed ${seed}`).toBe(0);
    await until(async () => (await dig(wild, "calm")) === `0 ${calm.address}`);
    await wild.stop();
    // What still waits for the silent server gives up.
    for (let tries = 0; tries < 200 && (await descriptors()) > before; tries++) await Bun.sleep(100);
    expect(await descriptors(), `seed ${seed}`).toBeLessThanOrEqual(before);
    await calm.stop();
    stop();
    await ground.daemon.networks.remove("flooded");
  }, 110_000);

  test("a daemon that comes back opens every resolver again", async () => {
    await ground.daemon.networks.create({ ...PLAIN, name: "again" });
    const all: LabContainer[] = [];
    for (let index = 0; index < (FULL ? 50 : 4); index++) all.push(await ground.daemon.run(`again${index}`, { mode: "again" }));
    const { dataRoot } = ground.daemon.options;
    await ground.daemon.close();
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
    for (const one of all) ground.daemon.pids.set(one.id, one.pid);
    await ground.daemon.networks.restore(all.map((one) => ({ containerId: one.id, pid: one.pid })));
    for (const one of all) expect(await dig(one, "again0")).toBe(`0 ${all[0]?.address}`);
    for (const one of all) {
      process.kill(one.pid, "SIGKILL");
      await ground.daemon.networks.leave(one.id);
      ground.daemon.state.write((tx) => ground.daemon.networks.release(tx, one.id), { durable: false });
    }
    await ground.daemon.networks.remove("again");
  });
});

/** How many descriptors this process has open. */
async function descriptors(): Promise<number> {
  return (await readdir("/proc/self/fd")).length;
}
