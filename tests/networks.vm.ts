/** Networks on a booted Debian: what needs a kernel of its own (ipvlan, links that lead nowhere), and a reboot of the host. Deadline: 3600 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { bootAgain, bootVm, type Vm } from "../tools/vm.ts";
import { figure } from "./harness/figures.ts";

const MINUTES_3 = 180_000;
const MINUTES_20 = 1_200_000;
const SUITE = "bookworm";
const IMAGE = "/root/lighter/.cache/images/1/busybox.tar";

let vm: Vm;
/** Runs a command that has to succeed; its output. */
const sh = async (command: string): Promise<string> => {
  const { code, stdout } = await vm.run(command, { timeout: MINUTES_3 });
  if (code !== 0) throw new Error(`${command}: exit code ${code}\n${stdout}`);
  return stdout.trim();
};

/** Waits for the unit: the shell may be there before it. */
const ACTIVE = "for i in $(seq 60); do systemctl -q is-active lighter && break; sleep 2; done; systemctl -q is-active lighter";

/** What the web server of the other machine runs: it takes the request and says where it came from. */
const WHO = `#!/bin/sh
while read line && [ \${#line} -gt 1 ]; do :; done
printf "HTTP/1.0 200 OK\\r\\n\\r\\n"
ss -Htn state established "( sport = :80 )" | grep -o "198[.0-9]*" | tail -n 1
`;

/** Another machine behind a wire: 198.51.100.2, with a web server. */
const OUTSIDE = `ip netns add far; ip link add wire0 type veth peer name eth0 netns far; ip addr add 198.51.100.1/24 dev wire0; ip link set wire0 up;
  ip netns exec far sh -c 'ip link set lo up; ip addr add 198.51.100.2/24 dev eth0; ip link set eth0 up';
  echo ${btoa(WHO)} | base64 -d > /root/who; chmod 755 /root/who; (ip netns exec far busybox nc -ll -p 80 -e /root/who > /dev/null 2>&1 &)`;

/** What networks may leave on a host: links, rules, routes, namespaces, settings. */
const HOST = [
  "ip -o link | sed 's/^[0-9]*: //; s/@.*//; s/:.*//' | sort",
  "nft list tables",
  "ip route; ip -6 route show table all | grep -v fe80 | grep -v multicast",
  "ip netns",
  "sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv4.conf.all.route_localnet",
].join("; echo --; ");

beforeAll(async () => {
  vm = await bootVm(SUITE);
  await sh("dmesg -n 1; ln -s /root/lighter/dist/lighter /usr/local/bin/lighter; cp shipped/systemd/lighter.service /etc/systemd/system/");
}, MINUTES_20);
afterAll(async () => await vm?.[Symbol.asyncDispose](), MINUTES_3);

test(
  "the last network takes everything with it: rules, links, routes and settings are as before",
  async () => {
    await sh(
      "modprobe -a bridge veth nf_tables nf_conntrack nft_chain_nat; sysctl -w net.ipv6.conf.all.forwarding=0 net.ipv4.ip_forward=0",
    );
    await sh(OUTSIDE);
    const before = await sh(HOST);
    await sh("systemctl enable --now lighter; sleep 2");
    await sh(ACTIVE);
    await sh(`lighter load -q -i ${IMAGE}`);
    await sh(
      "lighter network create --ipv6 six; lighter network create --internal in; lighter network create -o com.docker.network.driver.mtu=1300 small",
    );
    await sh(
      "lighter run -d --name web --network six -p 8080:80 busybox sh -c 'mkdir /www; echo served > /www/index.html; httpd -f -p 80 -h /www'",
    );
    expect(await sh("lighter run --rm --network small busybox wget -qO- http://198.51.100.2/")).toBe("198.51.100.1");
    expect(await sh("ip netns exec far busybox wget -qO- http://198.51.100.1:8080/")).toBe("served");
    await sh("lighter rm -f web; lighter network rm six in small");
    await sh("systemctl stop lighter; sleep 1");
    expect(await sh(HOST)).toBe(before);
    await sh("systemctl start lighter");
    await figure("vm", "networks: links, rules, routes and settings of the host after the last network", "as before");
  },
  MINUTES_20,
);

test(
  "ipvlan: l2 beside the parent's own neighbours, l3 between subnets; macvlan on a link that leads nowhere",
  async () => {
    await sh(ACTIVE);
    await sh(
      "lighter network create -d ipvlan -o parent=wire0 --subnet 198.51.100.0/24 --ip-range 198.51.100.64/26 --gateway 198.51.100.254 two",
    );
    expect(await sh("lighter run --rm --network two --ip 198.51.100.70 busybox wget -qO- http://198.51.100.2/")).toBe("198.51.100.70");
    await sh("lighter run -d --name one --network two busybox sleep 1000");
    expect(await sh("lighter run --rm --network two busybox ping -c 1 -W 5 one | grep -c ' 0% packet loss'")).toBe("1");
    expect(
      (await vm.run("lighter network create -d macvlan -o parent=wire0 --subnet 10.44.0.0/24 mac", { timeout: MINUTES_3 })).stdout,
    ).toContain("network two is already using parent interface wire0");
    await sh("lighter rm -f one; lighter network rm two");
    await sh("lighter network create -d ipvlan -o ipvlan_mode=l3 -o parent=wire0 --subnet 10.45.1.0/24 --subnet 10.45.2.0/24 three");
    await sh("lighter run -d --name far-one --network three --ip 10.45.2.9 busybox sleep 1000");
    expect(await sh("lighter run --rm --network three --ip 10.45.1.9 busybox ping -c 1 -W 5 10.45.2.9 | grep -c ' 0% packet loss'")).toBe(
      "1",
    );
    await sh("lighter rm -f far-one; lighter network rm three");
    await sh("lighter network create -d macvlan --subnet 10.46.0.0/24 alone; ip -o link show type dummy | grep -c dm-");
    await sh("lighter run -d --name beside --network alone busybox sleep 1000");
    expect(await sh("lighter run --rm --network alone busybox ping -c 1 -W 5 beside | grep -c ' 0% packet loss'")).toBe("1");
    await sh("lighter rm -f beside; lighter network rm alone");
    expect(await sh("ip -o link show type dummy | grep -c dm-; true")).toBe("0");
    await figure("vm", "networks: ipvlan l2 and l3, macvlan on a dummy link, kernel 6.1", "packets pass");
  },
  MINUTES_20,
);

test(
  "a reboot of the host: networks, addresses, names and ports are what they were",
  async () => {
    await sh("lighter rm -f web");
    await sh(
      "lighter network create --subnet 10.47.0.0/24 --ip-range 10.47.0.128/25 --aux-address kept=10.47.0.200 --label a=b -o com.docker.network.bridge.name=brown first",
    );
    await sh("lighter network create --ipv6 --subnet fd00:47::/64 second");
    await sh("lighter run -d --name store --restart always --network first --ip 10.47.0.150 --network-alias db busybox sleep 100000");
    await sh(
      "lighter run -d --name web --restart always --network first -p 8080:80 busybox sh -c 'mkdir -p /www; echo again > /www/index.html; httpd -f -p 80 -h /www'",
    );
    await sh("lighter network connect --ip6 fd00:47::99 second web");
    const networks = "lighter network inspect bridge first second | grep -v '\"EndpointID\"'";
    const before = await sh(networks);
    await vm.run("sync; systemctl poweroff; sleep 100", { timeout: MINUTES_3 }).catch(() => undefined);
    vm = await bootAgain(vm, SUITE);
    await sh("dmesg -n 1");
    await sh(ACTIVE);
    await sh("for i in $(seq 30); do [ $(lighter ps -q | wc -l) = 2 ] && break; sleep 1; done");
    expect(await sh(networks)).toBe(before);
    expect(await sh("lighter exec web ping -c 1 -W 5 db | grep -c ' 0% packet loss'")).toBe("1");
    expect(await sh("lighter exec web ip -6 -o addr show eth1 | grep -c fd00:47::99/64")).toBe("1");
    expect(await sh("busybox wget -qO- http://127.0.0.1:8080/; ip -br addr show brown | grep -c 10.47.0.1/24")).toBe("again\n1");
    await sh("lighter rm -f web store; lighter network rm first second");
    await figure("vm", "networks: restored by a reboot of the host", "inspect equal, fixed addresses, names and ports answer");
  },
  MINUTES_20,
);
