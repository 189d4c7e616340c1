import { expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { HOST, LabDaemon, OUTSIDE, ask, sh, until, reach } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";
import { changeKept, findKept } from "./port-keeper.ts";
import { keeperSocket } from "./port-records.ts";
import { dropPort, holdPort } from "./port-sockets.ts";

const HOST6 = "2001:db8::1";
const OUTSIDE6 = "2001:db8::2";
const KINDS = ["four", "both", "six"] as const;

interface Made {
  id: string;
  pid: number;
  address4: string;
  address6: string;
  ports: Record<string, { HostIp: string; HostPort: string }[]>;
}

labSuite("published ports with and without a daemon", import.meta.path, (ground) => {
  let dataRoot = "";
  let made: Record<string, Made> = {};
  const space = (name: string): string => `/proc/${made[name]?.pid}/ns/net`;

  /** Everybody's way to every published port: who asks whom at which address, and who the container says it was. */
  async function matrix(): Promise<void> {
    for (const [index, kind] of KINDS.entries()) {
      const port = 8081 + index;
      const target = made[kind];
      const four = target?.address4 !== "";
      const six = target?.address6 !== "";
      const ways: [from: string | undefined, to: string, source: string][] = [
        [undefined, "127.0.0.1", ""],
        [undefined, "::1", ""],
        [undefined, HOST, ""],
        [undefined, HOST6, ""],
        // Where rules carry it, the container sees who really asks; the keeper asks in its own name.
        [ground.lab.outside, HOST, four ? OUTSIDE : ""],
        [ground.lab.outside, HOST6, six ? OUTSIDE6 : ""],
        [space("far"), HOST, ""],
        [space("far"), HOST6, ""],
        ...(four
          ? ([
              [space(kind), HOST, ""],
              [space(`${kind}-neighbour`), HOST, ""],
            ] as [string, string, string][])
          : []),
        ...(six
          ? ([
              [space(kind), HOST6, ""],
              [space(`${kind}-neighbour`), HOST6, ""],
            ] as [string, string, string][])
          : []),
      ];
      for (const [from, to, source] of ways) {
        for (const protocol of ["tcp", "udp"] as const) {
          const way = `${protocol} to ${kind} at ${to} from ${from ?? "the host"}`;
          // A busy machine may need longer than one question waits.
          let answer = await ask(from, protocol, to, port);
          for (let tries = 0; answer === "nothing" && tries < 5; tries++) answer = await ask(from, protocol, to, port);
          expect(`${way}: ${answer}`).toStartWith(`${way}: ${kind} ${source}`);
        }
      }
    }
  }

  test("every way leads there, and who asks is seen, while the daemon runs", async () => {
    await sh(`ip -6 addr add ${HOST6}/64 dev out0 nodad; nsenter --net=${ground.lab.outside} ip -6 addr add ${OUTSIDE6}/64 dev in0 nodad`);
    await ground.daemon.close();
    ground.daemon.forget();
    await sh("echo 0 > /proc/sys/net/ipv4/ip_forward");
    dataRoot = `${ground.daemon.options.dataRoot}-killed`;
    const child = ground.lab.spawn([process.execPath, `${import.meta.dir}/lab-ports.ts`, dataRoot]);
    const { value } = await (child.stdout as ReadableStream<Uint8Array>).getReader().read();
    made = JSON.parse(Buffer.from(value ?? []).toString()) as Record<string, Made>;
    for (const kind of KINDS) await ground.lab.echo(kind, ["tcp:80", "udp:53"], space(kind));
    for (const [index, kind] of KINDS.entries()) {
      const both = ["0.0.0.0", "::"].map((HostIp) => ({ HostIp, HostPort: String(8081 + index) }));
      expect(made[kind]?.ports).toEqual({ "53/udp": both, "80/tcp": both });
    }
    await matrix();
    child.kill("SIGKILL");
    await child.exited;
  }, 60_000);

  test("the same with the daemon killed, and nobody else can take the ports", async () => {
    await matrix();
    for (const [index] of KINDS.entries()) {
      for (const hostname of ["127.0.0.1", "::", HOST]) {
        expect(() => Bun.listen({ hostname, port: 8081 + index, socket: { data() {} } })).toThrow("Failed to listen");
      }
    }
  }, 60_000);

  test("the next daemon takes over what is kept, without a break", async () => {
    const before = findKept(keeperSocket(dataRoot));
    expect(before?.ports).toBe(12);
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
    for (const { id, pid } of Object.values(made)) ground.daemon.pids.set(id, pid);
    await ground.daemon.networks.restore(Object.values(made).map(({ id, pid }) => ({ containerId: id, pid })));
    expect(findKept(keeperSocket(dataRoot))).toMatchObject({ pid: before?.pid ?? 0, ports: 12 });
    await matrix();
  }, 60_000);

  test("a keeper that is killed is replaced, and keeps what it is given", async () => {
    const before = findKept(keeperSocket(dataRoot))?.pid ?? 0;
    process.kill(before, "SIGKILL");
    await until(() => findKept(keeperSocket(dataRoot))?.ports === 12);
    expect(findKept(keeperSocket(dataRoot))?.pid).not.toBe(before);
    await matrix();
  }, 60_000);

  test("a port that another program took while nobody kept it is told, and the container goes on", async () => {
    await ground.daemon.close();
    process.kill(findKept(keeperSocket(dataRoot))?.pid ?? 0, "SIGKILL");
    await until(() => findKept(keeperSocket(dataRoot)) === undefined);
    const thief = createServer().listen(8081, "127.0.0.1");
    await new Promise((resolve) => thief.once("listening", resolve));
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
    for (const { id, pid } of Object.values(made)) ground.daemon.pids.set(id, pid);
    await ground.daemon.networks.restore(Object.values(made).map(({ id, pid }) => ({ containerId: id, pid })));
    const sentence =
      'Cannot hold port 0.0.0.0:8081/tcp of running container "four": address already in use; another program took it while no daemon ran';
    expect(ground.daemon.networks.warnings()).toEqual([sentence]);
    const events = ground.daemon.state.all<{ attributes_json: string }>("SELECT attributes_json FROM events WHERE action = 'port-lost'");
    expect(events.map(({ attributes_json }) => JSON.parse(attributes_json) as unknown)).toEqual([
      { name: "four", port: "0.0.0.0:8081/tcp", reason: "address already in use" },
    ]);
    expect(findKept(keeperSocket(dataRoot))?.ports).toBe(11);
    await matrix();
    thief.close();
    for (let tries = 0; findKept(keeperSocket(dataRoot))?.ports !== 12 && tries < 300; tries++) await Bun.sleep(100);
    expect(findKept(keeperSocket(dataRoot))?.ports).toBe(12);
    expect(ground.daemon.networks.warnings()).toEqual([]);
  }, 60_000);

  test("its last port ends it, and settings of the host are as they were", async () => {
    const pid = findKept(keeperSocket(dataRoot))?.pid ?? 0;
    expect(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8")).toBe("1\n");
    expect(await sh("cat /proc/sys/net/ipv4/conf/all/route_localnet /proc/sys/net/ipv4/conf/out0/route_localnet")).toBe("0\n0");
    for (const { id, pid: init } of Object.values(made)) {
      process.kill(init, "SIGKILL");
      await ground.daemon.networks.leave(id);
      ground.daemon.state.write((tx) => ground.daemon.networks.release(tx, id), { durable: false });
    }
    expect(ground.daemon.networks.warnings()).toEqual([]);
    await until(async () => /^State:\s+Z/m.test(await sh(`cat /proc/${pid}/status 2>/dev/null || echo 'State:\tZ'`)));
    for (const name of ["far", "both", "six"]) await ground.daemon.networks.remove(name);
    await ground.daemon.close();
    expect(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8")).toBe("0\n");
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
  });

  test("where the host refuses route_localnet, 127.0.0.1 is relayed", async () => {
    await ground.daemon.networks.restore([]);
    await sh("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys");
    const second = await LabDaemon.open(ground.lab, { bridgeName: "lighter9", table: "lighter_9" });
    await second.networks.restore([]);
    const web = await second.run("unrouted", { portBindings: { "80/tcp": [{ HostPort: "8099" }] } });
    await ground.lab.echo("unrouted", ["tcp:80"], web.namespace);
    for (const host of ["127.0.0.1", HOST, "::1"])
      await until(async () => (await ask(undefined, "tcp", host, 8099)).startsWith("unrouted "));
    expect(await reach(ground.lab.outside, "tcp", HOST, 8099)).toBe(`unrouted ${OUTSIDE}`);
    await sh("umount /proc/sys");
    await web.stop();
    await second.close();
    second.forget();
  });

  test("what is relayed obeys the host's firewall and the policy, as what rules carry", async () => {
    const second = await LabDaemon.open(ground.lab, { bridgeName: "lighter9", table: "lighter_9", reach: "firewall" });
    await second.networks.restore([]);
    const web = await second.run("walled", { portBindings: { "80/tcp": [{ HostPort: "8098" }] } });
    await ground.lab.echo("walled", ["tcp:80"], web.namespace);
    const outside = (to: string): Promise<string> => ask(ground.lab.outside, "tcp", to, 8098);
    await until(async () => (await outside(HOST6)).startsWith("walled "));
    await sh("nft add table inet wall; nft add chain inet wall input '{ type filter hook input priority 0; policy accept; }'");
    await sh(`nft add rule inet wall input iifname out0 tcp dport 8098 drop`);
    await until(async () => (await outside(HOST6)) === "nothing");
    for (const to of ["127.0.0.1", "::1", HOST, HOST6])
      await until(async () => (await ask(undefined, "tcp", to, 8098)).startsWith("walled "));
    await sh("nft delete table inet wall");
    await until(async () => (await outside(HOST6)).startsWith("walled "));
    await web.stop();
    await second.close();
    second.forget();

    const third = await LabDaemon.open(ground.lab, { bridgeName: "lighter9", table: "lighter_9", reach: "loopback" });
    await third.networks.restore([]);
    const ports = [{ HostPort: "8098" }];
    const own = await third.run("own", { portBindings: { "80/tcp": ports, "80/udp": ports } });
    await ground.lab.echo("own", ["tcp:80", "udp:80"], own.namespace);
    const everyWayGets = async (from: string | undefined, answer: string, addresses: string[]): Promise<void> => {
      const ways = addresses.flatMap((to) => (["tcp", "udp"] as const).map((protocol) => ({ to, protocol })));
      await Promise.all(ways.map(({ to, protocol }) => until(async () => (await ask(from, protocol, to, 8098)).startsWith(answer))));
    };
    const hostReaches = async (): Promise<void> => await everyWayGets(undefined, "own ", ["127.0.0.1", "::1", HOST, HOST6]);
    const outsideGets = async (answer: string): Promise<void> => await everyWayGets(ground.lab.outside, answer, [HOST, HOST6]);
    await hostReaches();
    await outsideGets("nothing");
    await third.close();
    // Whatever the rules are while there is no daemon.
    await sh("nft delete table inet lighter_9; nft delete table inet lighter_9..closed");
    await hostReaches();
    await outsideGets("nothing");
    const fourth = await LabDaemon.open(ground.lab, { ...third.options, reach: "loopback" });
    fourth.pids.set(own.id, own.pid);
    await fourth.networks.restore([{ containerId: own.id, pid: own.pid }]);
    await outsideGets("nothing");
    await fourth.networks.reconfigure({ reach: "open" });
    await outsideGets("own ");
    process.kill(own.pid, "SIGKILL");
    await fourth.networks.leave(own.id);
    fourth.state.write((tx) => fourth.networks.release(tx, own.id), { durable: false });
    await fourth.close();
    fourth.forget();
  });

  test("what came from outside before the keeper had a port that is for this host alone is not passed on", async () => {
    const place = { protocol: "udp", hostAddress: "0.0.0.0", hostPort: 8097 } as const;
    const came: string[] = [];
    const server = createSocket("udp4", (message, from) => {
      came.push(`${message}`.trim());
      server.send("answered\n", from.port, from.address);
    });
    await new Promise<void>((resolve) => server.bind(0, "127.0.0.1", resolve));
    const socket = Number(holdPort(place));
    const queued = async (): Promise<string> => await sh("ss -lunH sport = :8097 | awk '{ print $2 }'");
    await sh(`nsenter --net=${ground.lab.outside} bash -c 'echo stranger > /dev/udp/${HOST}/8097'`);
    await until(async () => Number(await queued()) > 0);
    const path = join(ground.daemon.options.dataRoot, "early.sock");
    const target = { address: "127.0.0.1", port: server.address().port };
    changeKept(path, { add: [{ ...place, socket, local: true, target }], remove: [] });
    dropPort(socket);
    expect(await reach(undefined, "udp", "127.0.0.1", 8097)).toBe("answered");
    expect(new Set(came)).toEqual(new Set(["hello"]));
    changeKept(path, { add: [], remove: [place] });
    server.close();
  });
});
