import { expect, test } from "bun:test";
import { HOST, LabDaemon, OUTSIDE, ask, links, ruleset, sh, until, reach } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

/** Ends the processes that a killed daemon's containers were made of; in this namespace of processes nobody else has any. */
async function killOrphans(outsidePid: number): Promise<void> {
  await until(async () => {
    const all = (await sh("ps -eo pid=,comm=,stat=")).split("\n").map((line) => line.trim().split(/ +/));
    const orphans = all.filter(
      ([pid, command = "", status = ""]) => ["sleep", "nsenter"].includes(command) && !status.startsWith("Z") && Number(pid) !== outsidePid,
    );
    for (const [pid] of orphans) process.kill(Number(pid), "SIGKILL");
    return orphans.length === 0;
  });
}

const SIX = {
  driver: "bridge",
  internal: false,
  attachable: false,
  enableIPv4: false,
  enableIPv6: true,
  options: {},
  labels: {},
  ipam: {},
};

/** Whether this host forwards packets, by family. */
const forwarding = async (): Promise<string[]> =>
  (await sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding")).split("\n");

labSuite("what a daemon leaves behind", import.meta.path, (ground) => {
  test("kill -9 of the daemon: ports answer meanwhile, the next one adopts the living and sweeps the rest", async () => {
    await ground.daemon.close();
    ground.daemon.forget();
    await until(async () => (await links()) === 0);
    await sh("ip link show lighter0 && exit 1; nft list tables | grep lighter && exit 1; true");
    const dataRoot = `${ground.daemon.options.dataRoot}-killed`;
    const child = ground.lab.spawn([process.execPath, `${import.meta.dir}/lab-daemon.ts`, dataRoot]);
    const { value } = await (child.stdout as ReadableStream<Uint8Array>).getReader().read();
    const { web, gone } = JSON.parse(Buffer.from(value ?? []).toString()) as Record<
      "web" | "gone",
      { id: string; pid: number; address: string }
    >;
    const server = await ground.lab.echo("web", ["tcp:80"], `/proc/${web.pid}/ns/net`);
    expect(await reach(ground.lab.outside, "tcp", HOST, 8080)).toBe(`web ${OUTSIDE}`);
    const wide = await links();
    child.kill("SIGKILL");
    await child.exited;
    process.kill(gone.pid, "SIGKILL");
    expect(await reach(ground.lab.outside, "tcp", HOST, 8080)).toBe(`web ${OUTSIDE}`);
    await until(async () => (await links()) === 1);
    expect(wide).toBeGreaterThan(3);

    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
    ground.daemon.pids.set(web.id, web.pid);
    await ground.daemon.networks.restore([{ containerId: web.id, pid: web.pid }]);
    expect(await reach(ground.lab.outside, "tcp", HOST, 8080)).toBe(`web ${OUTSIDE}`);
    expect(await ruleset()).not.toContain("8081");
    expect(ground.daemon.state.all("SELECT container FROM endpoints")).toEqual([{ container: web.id }]);
    expect(() => Bun.listen({ hostname: "0.0.0.0", port: 8080, socket: { data() {} } })).toThrow();
    const next = await ground.daemon.run("next");
    expect(next.address).not.toBe(web.address);
    expect(await reach(next.namespace, "tcp", web.address, 80)).toBe(`web ${next.address}`);
    await next.stop();

    await sh("ip link del lighter0; nft flush ruleset");
    await ground.daemon.close();
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
    await ground.daemon.networks.restore([{ containerId: web.id, pid: web.pid }]);
    await until(async () => (await ask(ground.lab.outside, "tcp", HOST, 8080)) === `web ${OUTSIDE}`);
    process.kill(web.pid, "SIGKILL");
    server.kill();
  });

  test("kill -9 in the middle of anything leaves nothing that the next start does not sweep", async () => {
    const dataRoot = `${ground.daemon.options.dataRoot}-churned`;
    const options = { dataRoot, bridgeName: "lighter0", table: "lighter" };
    await ground.daemon.close();
    await sh("ip link del lighter0; nft flush ruleset");
    for (const delay of [35, 70, 110, 160, 230, 320]) {
      const child = ground.lab.spawn([process.execPath, `${import.meta.dir}/lab-daemon.ts`, dataRoot, "churn"]);
      await (child.stdout as ReadableStream<Uint8Array>).getReader().read();
      await Bun.sleep(delay);
      child.kill("SIGKILL");
      await child.exited;
      await killOrphans(ground.lab.outsidePid);
    }
    await sh("echo 0 > /proc/sys/net/ipv4/ip_forward");
    ground.daemon = await LabDaemon.open(ground.lab, options);
    await ground.daemon.networks.restore([]);
    await ground.daemon.networks.prune(new Map());
    expect(await sh("ip -o link | grep -c ': br-' || true")).toBe("0");
    expect(ground.daemon.state.all("SELECT id FROM endpoints")).toEqual([]);
    expect(ground.daemon.state.all("SELECT host_port FROM ports")).toEqual([]);
    expect(ground.daemon.state.all("SELECT key FROM effects WHERE kind = 'bridge'")).toEqual([]);
    expect(await sh("nft list map inet lighter ports4_any")).not.toContain("elements");
    await ground.daemon.networks.create({ ...SIX, name: "six" });
    expect(await forwarding()).toEqual(["1", "1"]);
    await ground.daemon.networks.remove("six");
    expect(await forwarding()).toEqual(["1", "0"]);
    await ground.daemon.close();
    await until(async () => (await links()) === 0);
    expect(await forwarding()).toEqual(["0", "0"]);
    ground.daemon = await LabDaemon.open(ground.lab, options);
    await ground.daemon.networks.restore([]);
  });

  test("a wire that is gone at the next start is made again; a bip that another network has is refused", async () => {
    const { dataRoot } = ground.daemon.options;
    const ipam = { config: [{ subnet: "10.66.0.0/24" }] };
    await ground.daemon.networks.create({ ...SIX, enableIPv4: true, enableIPv6: false, ipam, name: "extra" });
    const wired = await ground.daemon.run("wired");
    await ground.daemon.networks.connect("extra", wired.id, {});
    const rows = ground.daemon.state.all<{ interface: string }>("SELECT interface FROM endpoints WHERE address4 LIKE '10.66.%'");
    await ground.daemon.close();
    await sh(`ip link del ${rows[0]?.interface}`);
    const reopen = async (options: { bip?: string }): Promise<void> => {
      ground.daemon = await LabDaemon.open(ground.lab, { dataRoot, ...options });
    };
    await reopen({});
    ground.daemon.pids.set(wired.id, wired.pid);
    await ground.daemon.networks.restore([{ containerId: wired.id, pid: wired.pid }]);
    expect(await sh(`nsenter --net=${wired.namespace} ip -br -4 addr show eth1`)).toContain("10.66.0.2/24");
    await ground.lab.echo("wired", ["tcp:80"], wired.namespace);
    await until(async () => (await ask(undefined, "tcp", "10.66.0.2", 80)) === "wired 10.66.0.1");
    process.kill(wired.pid, "SIGKILL");
    await ground.daemon.close();

    await reopen({ bip: "10.66.1.1/16" });
    const failure = await ground.daemon.networks.restore([]).then(
      () => "",
      (error: unknown) => (error as Error).message,
    );
    expect(failure).toBe(
      'Cannot give the default bridge 10.66.0.0/16 (bip): network "extra" has 10.66.0.0/24: give another bip, or start without it and remove that network first',
    );
    await ground.daemon.close();
    await reopen({});
    await ground.daemon.networks.restore([]);
    await ground.daemon.networks.remove("extra");
  });

  test("the default bridge is as the configuration says", async () => {
    const { dataRoot } = ground.daemon.options;
    await ground.daemon.close();
    const defaults = {
      mtu: 1400,
      icc: false,
      masquerade: false,
      hostAddress: "127.0.0.1",
      fixedCidr: "10.77.1.0/24",
      dns: ["192.0.2.53"],
      dnsSearch: ["lab.example"],
    };
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot, bip: "10.77.0.1/16", defaults });
    await ground.daemon.networks.restore([]);
    const { IPAM, Options } = ground.daemon.networks.inspect("bridge");
    expect(IPAM?.Config).toEqual([{ Subnet: "10.77.0.0/16", IPRange: "10.77.1.0/24", Gateway: "10.77.0.1" }]);
    expect(Options).toMatchObject({
      "com.docker.network.bridge.enable_icc": "false",
      "com.docker.network.bridge.enable_ip_masquerade": "false",
      "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
      "com.docker.network.driver.mtu": "1400",
    });
    const one = await ground.daemon.run("one", { portBindings: { "80/tcp": [{ HostPort: "8300" }] } });
    expect(await sh(`nsenter --net=${one.namespace} ip -o addr show eth0`)).toMatch(/inet 10\.77\.1\.\d+\/16/);
    expect(await sh(`nsenter --net=${one.namespace} ip -o link show eth0`)).toContain("1400");
    const ports = ground.daemon.state.all<{ host_address: string }>("SELECT host_address FROM ports WHERE container = ?", one.id);
    expect(ports).toEqual([{ host_address: "127.0.0.1" }]);
    process.kill(one.pid, "SIGKILL");
    await ground.daemon.close();
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
    await ground.daemon.networks.restore([]);
  });

  test("two daemons side by side", async () => {
    const other = await LabDaemon.open(ground.lab, { bridgeName: "lighter1", table: "lighter_1" });
    await other.networks.restore([]);
    const [subnet] = other.networks.inspect("bridge").IPAM?.Config ?? [];
    expect(subnet?.Subnet).not.toBe(ground.daemon.networks.inspect("bridge").IPAM?.Config?.[0]?.Subnet ?? "");
    const mine = await ground.daemon.run("mine", { portBindings: { "80/tcp": [{ HostPort: "8200" }] } });
    const theirs = await other.run("theirs", { portBindings: { "80/tcp": [{ HostPort: "8201" }] } });
    await ground.lab.echo("mine", ["tcp:80"], mine.namespace);
    await ground.lab.echo("theirs", ["tcp:80"], theirs.namespace);
    expect(await reach(ground.lab.outside, "tcp", HOST, 8200)).toStartWith("mine ");
    expect(await reach(ground.lab.outside, "tcp", HOST, 8201)).toStartWith("theirs ");
    await theirs.stop();
    await other.close();
    other.forget();
    expect(await reach(ground.lab.outside, "tcp", HOST, 8200)).toStartWith("mine ");
    await mine.stop();
  });
});
