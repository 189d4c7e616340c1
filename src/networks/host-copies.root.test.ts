import { afterEach, beforeEach, expect, test } from "bun:test";
import { libc } from "../linux/libc.ts";
import { NETLINK_NETFILTER, Netlink, type NetlinkAnswer, type NetlinkMessage } from "../linux/netlink.ts";
import type { FirewallModel, PortRule } from "./firewall.ts";
import { HostRules } from "./host-rules.ts";
import { HOST, OUTSIDE, ask, sh, until } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

const OWN = "trial";
const DUMP = 0x300;
const ENOMEM = 12;

/** A socket to the kernel that has no memory for some of what it is asked. */
class PoorSocket extends Netlink {
  refuses: (messages: readonly NetlinkMessage[]) => boolean = () => false;
  refused = 0;

  override exchange(messages: readonly NetlinkMessage[]): NetlinkAnswer[] {
    if (!this.refuses(messages)) return super.exchange(messages);
    this.refused++;
    return messages.map(() => ({ errno: ENOMEM, text: "", replies: [] }));
  }
}

labSuite("copies of the host's rules", import.meta.path, (ground) => {
  let socket: PoorSocket;
  let rules: HostRules;
  let listener = -1;
  const sockets: { close(): void }[] = [];

  function port(hostPort: number, wishes: Partial<PortRule> = {}): PortRule {
    return { protocol: "tcp", hostAddress: "0.0.0.0", hostPort, address: "192.0.2.80", port: 80, ...wishes };
  }

  function model(...ports: PortRule[]): FirewallModel {
    return { networks: [], ports, reach: "firewall" };
  }

  /** The copy of the host's table. */
  function copy(): Promise<string> {
    return sh(`nft list table inet ${OWN}.mine || true`);
  }

  /** Takes the host's datagrams to port 8054 of IPv4 and 8056 of IPv6; the answer tells what came. */
  async function listen(): Promise<() => string[]> {
    const texts: string[] = [];
    const socket = { data: (_socket: unknown, bytes: Buffer): void => void texts.push(bytes.toString()) };
    for (const [hostname, udp] of [
      ["0.0.0.0", 8054],
      ["::", 8056],
    ] as const) {
      sockets.push(await Bun.udpSocket({ hostname, port: udp, socket }));
    }
    return () => texts;
  }

  /** Sends datagrams, to many where the addresses say so. */
  async function shout(from: string | undefined, addresses: string[], text: string): Promise<void> {
    const script = `import { createSocket } from "node:dgram";
      for (const address of ${JSON.stringify(addresses)}) await new Promise((done) => {
        const family = address.includes(":") ? 6 : 4;
        const s = createSocket("udp" + family);
        s.bind(0, () => { s.setBroadcast(true); s.send("${text} " + address, 8050 + family, address, () => s.close(done)); });
      });`;
    const enter = from === undefined ? [] : ["nsenter", `--net=${from}`];
    const child = Bun.spawn([...enter, process.execPath, "-e", script], { stdout: "ignore", stderr: "pipe" });
    const [errors, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    expect(code === 0 ? "" : errors).toBe("");
  }

  beforeEach(() => {
    socket = new PoorSocket(NETLINK_NETFILTER);
    rules = new HostRules(socket);
    listener = rules.listen();
  });

  afterEach(async () => {
    socket.refuses = () => false;
    rules.drop(OWN);
    for (const one of sockets.splice(0)) one.close();
    socket.close();
    libc().close(listener);
    await sh("nft delete table inet mine || true; nft delete table ip ways || true");
  });

  test("what could not be copied is copied by the next look, and judged as it stands until then", async () => {
    await sh("nft 'table inet mine { chain in { type filter hook input priority 0; }; }'");
    rules.write(OWN, model(port(8080)));
    await sh("nft add rule inet mine in tcp dport 8080 drop");
    socket.refuses = (messages) => messages.length > 2;
    expect(() => rules.look(listener)).toThrow("refuses the table");
    expect(socket.refused).toBeGreaterThan(0);
    expect(rules.judge([port(8080)])).toMatchObject([{ reach: "open" }]);
    socket.refuses = () => false;
    rules.look(listener);
    expect(await copy()).toContain("tcp dport 8080 drop");
    expect(rules.judge([port(8080)])).toMatchObject([{ reach: "closed" }]);
  });

  test("answers to what went out from a closed port's number come back", async () => {
    const numbers = Array.from({ length: 100 }, (_, index) => 40_100 + index);
    const closed = numbers.map((number) => port(number, { reach: "loopback" }));
    rules.write(OWN, model(...closed));
    await sh(
      `nft 'table ip ways { chain out { type nat hook postrouting priority 90; ip daddr ${OUTSIDE} tcp dport 9000 snat to ${HOST}:40100-40199; }; }'`,
    );
    await until(async () => (await ask(undefined, "tcp", OUTSIDE, 9000)) === `outside ${HOST}`);
  });

  test("rules that set marks which nobody asks for are no reason to copy", async () => {
    await sh(`nft 'table inet mine { chain pre { type nat hook prerouting priority dstnat; tcp dport 80 meta mark set meta mark or 0x4000; }
      chain in { type filter hook input priority 0; meta mark and 0x8000 == 0x8000 drop; }; }'`);
    rules.write(OWN, model(port(8080)));
    const handle = async (): Promise<string | undefined> =>
      /table inet trial\.mine \{ # handle (\d+)/.exec(await sh(`nft -a list table inet ${OWN}.mine`))?.[1];
    const before = await handle();
    expect(before).toBeString();
    await sh("nft add rule inet mine pre tcp dport 8080 meta mark set meta mark or 0x6000");
    rules.look(listener);
    expect(await handle()).toBe(before);
    expect(rules.judge([port(8080)])).toMatchObject([{ reach: "restricted" }]);
    await sh("nft add rule inet mine pre tcp dport 8080 meta mark set meta mark or 0x8000");
    rules.look(listener);
    expect(await handle()).not.toBe(before);
    expect(rules.judge([port(8080), port(8081)])).toMatchObject([{ reach: "unclear" }, { reach: "restricted" }]);
    expect(await copy()).toContain("elements = { tcp . 8080 }");
  });

  test("an element whose time is renewed stays in the copy as long", async () => {
    await sh(`nft 'table inet mine {
      set foes { type ipv4_addr; flags timeout; elements = { 192.0.2.66 timeout 1m, 192.0.2.67 timeout 1h expires 30m }; }
      chain in { type filter hook input priority 0; ip saddr @foes drop; }; }'`);
    rules.write(OWN, model(port(8080)));
    expect(await copy()).toMatch(/192\.0\.2\.67 [^,}]*expires (29|30)m/);
    await sh("nft 'delete element inet mine foes { 192.0.2.67 }; add element inet mine foes { 192.0.2.67 timeout 1h }'");
    rules.look(listener);
    expect(await copy()).toMatch(/192\.0\.2\.67 [^,}]*expires (59m|1h)/);
  });

  test("a table that sleeps forbids nothing, until it wakes", async () => {
    await sh("nft 'table inet mine { flags dormant; chain in { type filter hook input priority 0; policy drop; }; }'");
    rules.write(OWN, model(port(8080)));
    expect(rules.judge([port(8080)])).toMatchObject([{ reach: "open" }]);
    expect(await copy()).toBe("");
    await sh("nft add table inet mine");
    rules.look(listener);
    expect(rules.judge([port(8080)])).toMatchObject([{ reach: "closed" }]);
    expect(await copy()).toContain("policy drop");
    await sh("nft 'add table inet mine { flags dormant; }'");
    rules.look(listener);
    expect(await copy()).toBe("");
  });

  test("a port that leaves is asked about until it is translated no more", async () => {
    const closed = port(8080, { reach: "loopback" });
    rules.write(OWN, model(closed));
    rules.write(OWN, model(port(8081, { reach: "loopback" })));
    const gate = (): Promise<string> => sh(`nft list table inet ${OWN}..closed`);
    expect(await gate()).toMatch(/8080.*8081|8081.*8080/s);
    rules.letGo();
    expect(await gate()).not.toContain("8080");
    expect(await gate()).toContain("8081");
    rules.write(OWN, model());
    // Where somebody removes the copies in between, a look makes them again.
    await sh(`nft delete table inet ${OWN}..closed`);
    rules.letGo();
    rules.write(OWN, model(closed));
    expect(await gate()).toContain("8080");
  });

  test("what is sent to many reaches no closed port", async () => {
    await sh(
      `nsenter --net=${ground.lab.outside} sh -c 'ip route replace 224.0.0.0/4 dev in0; ip route replace 255.255.255.255/32 dev in0'`,
    );
    const heard = await listen();
    const many = ["224.0.0.1", "203.0.113.255", "255.255.255.255", "ff02::1%in0"];
    await until(async () => {
      await shout(ground.lab.outside, many, "open");
      return many.every((address) => heard().includes(`open ${address}`));
    });
    const udp = { protocol: "udp", reach: "loopback" } as const;
    rules.write(OWN, model(port(8054, udp), port(8056, { ...udp, hostAddress: "::" })));
    await shout(ground.lab.outside, many, "closed");
    await until(async () => {
      await shout(undefined, ["127.0.0.1"], "end");
      return heard().includes("end 127.0.0.1");
    });
    expect(heard().filter((text) => text.startsWith("closed"))).toEqual([]);
  });

  test("a set that cannot be read does not pass for an empty one", async () => {
    await sh(
      "nft 'table inet mine { set foes { type ipv4_addr; }; chain in { type filter hook input priority 0; ip saddr @foes drop; }; }'",
    );
    rules.write(OWN, model(port(8080)));
    await sh("nft 'add element inet mine foes { 203.0.113.2 }'");
    const GET_ELEMENTS = 13;
    socket.refuses = ([first]) => first !== undefined && (first.type & 0xff) === GET_ELEMENTS && (first.flags & DUMP) === DUMP;
    expect(() => rules.look(listener)).toThrow("read the host's rules");
    socket.refuses = () => false;
    rules.look(listener);
    expect(await copy()).toContain("203.0.113.2");
  });
});
