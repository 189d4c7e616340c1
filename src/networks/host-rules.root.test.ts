import { afterEach, expect, test } from "bun:test";
import { type LabContainer, HOST, OUTSIDE, ask, reach, sh, until } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";
import { findKept } from "./port-keeper.ts";
import { keeperSocket } from "./port-records.ts";

labSuite("the host's firewall", import.meta.path, (ground) => {
  let web: LabContainer | undefined;
  let count = 0;
  const reached = `web ${OUTSIDE}`;

  /** A container with a server behind each port. */
  async function start(...ports: string[]): Promise<void> {
    const portBindings = Object.fromEntries(ports.map((port, index) => [`${80 + index}/tcp`, [{ HostPort: port }]]));
    web = await ground.daemon.run(`web${++count}`, { portBindings });
    const servers = ports.map((_, index) => `tcp:${80 + index}`);
    await ground.lab.echo("web", servers, web.namespace);
  }

  /** Waits until the outside gets an answer, or none. */
  async function becomes(answer: string, port = 8080, host = HOST): Promise<void> {
    const deadline = performance.now() + 10_000;
    let last = "";
    do {
      if ((last = await ask(ground.lab.outside, "tcp", host, port)) === answer) return;
      await Bun.sleep(20);
    } while (performance.now() < deadline);
    expect(`${port}: ${last}`).toBe(`${port}: ${answer}`);
  }

  /** Published ports, what is reached of them, and why. */
  async function told(families = /\./): Promise<[string, string, string][]> {
    const answers = (await ground.daemon.networks.reachable()).filter(({ hostAddress }) => families.test(hostAddress));
    return answers.map(({ hostAddress, hostPort, reach, why }) => [`${hostAddress}:${hostPort}`, reach, why]);
  }

  afterEach(async () => {
    await web?.stop();
    web = undefined;
    await ground.daemon.networks.reconfigure({ reach: "firewall" });
    await sh("nft list tables | grep -v lighter | while read -r line; do nft delete $line; done");
  });

  test("what a policy forbids stays closed, until a rule opens it, and again without the rule", async () => {
    await sh(
      "nft 'table inet mine { chain in { type filter hook input priority 0; policy drop; ct state established,related accept; iifname lo accept; }; }'",
    );
    await start("8080");
    await becomes("nothing");
    expect(await reach(undefined, "tcp", HOST, 8080)).toStartWith("web ");
    expect(await reach(undefined, "tcp", "127.0.0.1", 8080)).toStartWith("web ");
    await sh("nft add rule inet mine in tcp dport 8080 accept");
    await becomes(reached);
    await sh("nft flush chain inet mine in");
    await becomes("nothing");
  });

  test("rules for some senders alone, in sets, maps and chains", async () => {
    await sh(`nft '
      table inet mine {
        set friends { type ipv4_addr; flags interval; elements = { 198.51.100.0/24, ${OUTSIDE} }; }
        map doors { type inet_service : verdict; elements = { 8080 : goto guests, 8081 : accept }; }
        chain guests { ip saddr @friends accept; log prefix "shut "; reject with tcp reset
          }
        chain in { type filter hook input priority 0; policy drop; ct state vmap { established : accept, invalid : drop }; iifname lo accept
          tcp dport vmap @doors; tcp dport { 8000-8079, 8082 } limit rate 100/second accept; meta skuid 0 accept
          }
      }
      table ip6 mine { chain in { type filter hook input priority 5; policy drop; }; }'`);
    await start("8080", "8081", "8082", "8083");
    await Promise.all([8080, 8081, 8082].map((port) => becomes(reached, port)));
    await becomes("nothing", 8083);
    expect(await told()).toEqual([
      ["0.0.0.0:8080", "restricted", expect.stringContaining('only from set "friends", by inet mine guests')],
      ["0.0.0.0:8081", "open", expect.stringContaining("let in by inet mine in")],
      ["0.0.0.0:8082", "restricted", expect.stringContaining("only at a limited rate, by inet mine in")],
      ["0.0.0.0:8083", "unclear", expect.stringContaining("cannot be judged: meta skuid")],
    ]);
    await sh(`nft delete element inet mine friends '{ ${OUTSIDE} }'`);
    await becomes("nothing");
    await becomes(reached, 8081);
  });

  test("iptables-nft, with old matches and REJECT", async () => {
    await sh(`iptables -P INPUT DROP; iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; iptables -A INPUT -i lo -j ACCEPT
      iptables -N web; iptables -A INPUT -p tcp -j web; iptables -A web -p tcp -m multiport --dports 8080,9000:9002 -m comment --comment "the web" -j ACCEPT
      iptables -A web -s ${OUTSIDE}/32 -p tcp --dport 8081 -m recent --name seen --set -j ACCEPT; iptables -A web -p tcp --dport 8082 -j REJECT --reject-with tcp-reset`);
    await start("8080", "8081", "8082", "8083");
    await Promise.all([8080, 8081].map((port) => becomes(reached, port)));
    await Promise.all([8082, 8083].map((port) => becomes("nothing", port)));
    expect(await told()).toEqual([
      ["0.0.0.0:8080", "open", expect.stringContaining("let in by ip filter web")],
      ["0.0.0.0:8081", "restricted", expect.stringContaining(`only from ${OUTSIDE} and at a limited rate`)],
      ["0.0.0.0:8082", "closed", expect.stringContaining("closed by ip filter web")],
      ["0.0.0.0:8083", "closed", "closed by the policy of ip filter INPUT"],
    ]);
    await sh("iptables -F INPUT");
    await becomes("nothing");
    await sh("iptables -P INPUT ACCEPT");
    await becomes(reached);
  });

  test("IPv6, and a port on one address", async () => {
    await sh(
      `ip -6 addr add 2001:db8::1/64 dev out0 nodad; nsenter --net=${ground.lab.outside} ip -6 addr add 2001:db8::2/64 dev in0 nodad`,
    );
    await sh(`nft 'table ip6 mine { chain in { type filter hook input priority 0; policy drop; meta l4proto ipv6-icmp accept; ct state established accept; }; }'
      nft 'table ip mine { chain in { type filter hook input priority 0; policy drop; ip daddr ${HOST} tcp dport 8091 accept; }; }'`);
    const plain = { driver: "bridge", internal: false, attachable: false, options: {}, labels: {}, enableIPv4: true, enableIPv6: true };
    await ground.daemon.networks.create({ ...plain, name: "six", ipam: { config: [{ subnet: "fd00:6::/64" }] } });
    const portBindings = { "80/tcp": [{ HostPort: "8090" }, { HostIp: HOST, HostPort: "8091" }] };
    web = await ground.daemon.run("six", { mode: "six", portBindings });
    await ground.lab.echo("web", ["tcp:80"], web.namespace);
    await becomes(reached, 8091);
    await becomes("nothing", 8090);
    expect(await ask(ground.lab.outside, "tcp", "2001:db8::1", 8090)).toBe("nothing");
    await sh("nft add rule ip6 mine in tcp dport 8090 accept");
    await becomes("web 2001:db8::2", 8090, "2001:db8::1");
    expect((await told(/./)).map(([, reach]) => reach)).toEqual(["closed", "open", "open"]);
  });

  test("rules that look at marks of packets and connections", async () => {
    await sh(`nft '
      table inet mine {
        chain marks { type filter hook prerouting priority mangle; tcp dport 8080 meta mark set 0x66; tcp dport 8081 ct mark set 0x67; tcp dport 8082 meta mark set 0x68; }
        chain in { type filter hook input priority 0; policy drop; iifname lo accept; meta mark 0x66 drop; ct mark 0x67 drop; meta mark 0x68 accept; tcp dport 8080-8083 accept; }
      }'`);
    await start("8080", "8081", "8082", "8083");
    await Promise.all([8082, 8083].map((port) => becomes(reached, port)));
    await Promise.all([8080, 8081].map((port) => becomes("nothing", port)));
  });

  test("marks that are set only later cannot be judged: ports that may get them are closed, others are not", async () => {
    await sh(`nft '
      table inet mine {
        map doors { type inet_service : verdict; elements = { 8081 : goto marking }; }
        chain marking { meta mark set meta mark or 0x8; }
        chain late { type nat hook prerouting priority dstnat; tcp dport vmap @doors; tcp dport 8082 ct mark set 0x10; tcp dport 8080 meta mark set meta mark or 0x4; }
        chain in { type filter hook input priority 0; policy drop; iifname lo accept; tcp dport 9 meta mark 0x1 accept
          meta mark and 0x8 == 0x8 drop; ct mark 0x10 drop; tcp dport 8080-8083 accept; }
      }'`);
    await start("8080", "8081", "8082", "8083");
    await Promise.all([8080, 8083].map((port) => becomes(reached, port)));
    await Promise.all([8081, 8082].map((port) => becomes("nothing", port)));
    expect(await told()).toEqual([
      ["0.0.0.0:8080", "restricted", expect.stringContaining("not by the packet's marks; by its connection")],
      ["0.0.0.0:8081", "unclear", expect.stringContaining('a mark that "mine marking" sets only later')],
      ["0.0.0.0:8082", "unclear", expect.stringContaining('a mark that "mine late" sets only later')],
      ["0.0.0.0:8083", "restricted", expect.stringContaining("not by the packet's marks; by its connection")],
    ]);
    await sh("nft flush chain inet mine late");
    await Promise.all([8081, 8082].map((port) => becomes(reached, port)));
    await sh("nft add rule inet mine late tcp dport 8080-8081 ct mark set 0x10");
    await Promise.all([8080, 8081].map((port) => becomes("nothing", port)));
    await becomes(reached, 8082);
  });

  test("the marks of a cluster's proxy close nothing that they do not concern", async () => {
    await sh(`iptables -N KUBE-FIREWALL; iptables -A INPUT -j KUBE-FIREWALL; iptables -A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
      iptables -t nat -N KUBE-MARK-MASQ; iptables -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
      iptables -t nat -N KUBE-MARK-DROP; iptables -t nat -A KUBE-MARK-DROP -j MARK --or-mark 0x8000
      iptables -t nat -N KUBE-SERVICES; iptables -t nat -A PREROUTING -j KUBE-SERVICES
      iptables -t nat -A KUBE-SERVICES -d 10.96.0.10/32 -p tcp --dport 53 -j KUBE-MARK-MASQ
      iptables -t nat -A KUBE-SERVICES -m addrtype --dst-type LOCAL -p tcp -m multiport --dports 8080 -j KUBE-MARK-MASQ
      iptables -t nat -A KUBE-SERVICES -d 192.0.2.9/32 -p tcp --dport 8081 -j KUBE-MARK-DROP`);
    await start("8080", "8081", "8082");
    await Promise.all([8080, 8082].map((port) => becomes(reached, port)));
    await becomes("nothing", 8081);
    expect((await told()).map(([, reach]) => reach)).toEqual(["restricted", "unclear", "restricted"]);
  });

  test("policies: open asks nobody, loopback lets nobody in", async () => {
    await sh("nft 'table inet mine { chain in { type filter hook input priority 0; policy drop; }; }'");
    await start("8080");
    await becomes("nothing");
    await ground.daemon.networks.reconfigure({ reach: "open" });
    await becomes(reached);
    await sh("nft delete table inet mine");
    await ground.daemon.networks.reconfigure({ reach: "loopback" });
    await becomes("nothing");
    expect(await reach(undefined, "tcp", HOST, 8080)).toStartWith("web ");
    expect(await told()).toEqual([["0.0.0.0:8080", "closed", expect.stringContaining("loopback")]]);
    await ground.daemon.networks.reconfigure({ reach: "firewall" });
    await becomes(reached);
    await web?.stop();
    const plain = { driver: "bridge", internal: false, attachable: false, labels: {}, enableIPv4: true, enableIPv6: false, ipam: {} };
    await ground.daemon.networks.create({ ...plain, name: "hidden", options: { "lighter.published-ports": "loopback" } });
    web = await ground.daemon.run("hidden", { mode: "hidden", portBindings: { "80/tcp": [{ HostPort: "8080" }] } });
    await ground.lab.echo("web", ["tcp:80"], web.namespace);
    await becomes("nothing");
    expect(await reach(undefined, "tcp", HOST, 8080)).toStartWith("web ");
  });

  test("sets that packets fill are followed, too", async () => {
    await sh(`nft '
      table inet mine {
        set seen { type ipv4_addr; flags dynamic; }
        chain in { type filter hook input priority 0; ct state established accept; ip saddr @seen drop; tcp dport 22 add @seen { ip saddr }
        }
      }'`);
    await start("8080");
    await becomes(reached);
    expect(await ask(ground.lab.outside, "tcp", HOST, 22)).toBe("nothing");
    await becomes("nothing");
  });

  test.if(Bun.which("iptables-legacy") !== null)(
    "rules of the old packet filter cannot be read: what they may forbid is closed",
    async () => {
      await start("8080");
      await becomes(reached);
      await sh("iptables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT");
      await becomes("nothing");
      expect(await told()).toEqual([["0.0.0.0:8080", "unclear", expect.stringContaining("iptables-legacy filter")]]);
      await sh("iptables-legacy -F INPUT");
      await becomes(reached);
    },
  );

  test("a port that no gate can be set before is not handed to the keeper", async () => {
    await start("8080");
    await becomes(reached);
    const { daemon } = ground;
    const thief = ground.lab.spawn(["nft", "-i"], { stdin: "pipe" });
    const say = thief.stdin as Bun.FileSink;
    await say.write("delete table inet lighter; add table inet lighter { flags owner; }\n");
    await say.flush();
    await until(async () => (await sh("nft list table inet lighter")).includes("owner"));
    const kept = (): number[] => (findKept(keeperSocket(daemon.options.execRoot))?.records ?? []).map(({ hostPort }) => hostPort);
    const portBindings = { "80/tcp": [{ HostPort: "8080" }], "81/tcp": [{ HostPort: "8081" }] };
    const request = { ...daemon.request("", { containerId: web?.id ?? "" }), portBindings };
    const apply = daemon.state.write((tx) => daemon.networks.republish(tx, request), { durable: false });
    expect(await apply?.().then(String, () => "refused")).toBe("refused");
    expect(kept()).toContain(8080);
    expect(kept()).not.toContain(8081);
    await say.end();
    await thief.exited;
    await becomes(reached);
  });

  test("where the host's rules cannot be copied any more, ports are carried by the keeper alone, whom they judge themselves", async () => {
    await sh("nft 'table inet mine { chain in { type filter hook input priority 0; ct state established accept; }; }'");
    await start("8080");
    await becomes(reached);
    await until(async () => (await sh("nft list tables")).includes("inet lighter.mine"));
    const thief = ground.lab.spawn(["nft", "-i"], { stdin: "pipe" });
    const say = thief.stdin as Bun.FileSink;
    await say.write(
      "add table inet lighter..closed { flags owner; }; delete table inet lighter.mine; add table inet lighter.mine { flags owner; }\n",
    );
    await say.flush();
    await until(async () => (await sh("nft list table inet lighter.mine || true")).includes("owner"));
    const relayed = `web ${(await sh("ip -4 -o addr show dev lighter0")).replace(/.* inet ([0-9.]+).*/s, "$1")}`;
    await becomes(relayed);
    expect(await sh("nft list map inet lighter ports4_any")).not.toContain("8080");
    await sh("nft add rule inet mine in tcp dport 8080 drop");
    await becomes("nothing");
    await sh("nft flush chain inet mine in");
    await becomes(relayed);
    await say.end();
    await thief.exited;
    await becomes(reached);
  });

  test("our tables come back", async () => {
    await start("8080");
    await becomes(reached);
    await sh("nft flush ruleset");
    await becomes(reached);
    await sh("nft delete table inet lighter");
    await becomes(reached);
  });
});
