/** Published ports on a booted Debian: SCTP, which needs a kernel that has it, and the keeper of ports under systemd. Deadline: 3600 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { bootVm, type Vm } from "../tools/vm.ts";
import { figure } from "./harness/figures.ts";

const MINUTES_3 = 180_000;
const MINUTES_20 = 1_200_000;
const IMAGE = "/root/lighter/.cache/images/1/busybox.tar";

let vm: Vm;
/** Runs a command that has to succeed; its output. */
const sh = async (command: string): Promise<string> => {
  const { code, stdout } = await vm.run(command, { timeout: MINUTES_3 });
  if (code !== 0) throw new Error(`${command}: exit code ${code}\n${stdout}`);
  return stdout.trim();
};

/** Another machine behind a wire: 198.51.100.2. */
const OUTSIDE = `ip netns add far; ip link add wire0 type veth peer name eth0 netns far; ip addr add 198.51.100.1/24 dev wire0; ip link set wire0 up;
  ip netns exec far sh -c 'ip link set lo up; ip addr add 198.51.100.2/24 dev eth0; ip link set eth0 up'`;
/** A server that says who asked, and one who asks, in the words of Debian's own perl: no other program of a small Debian speaks SCTP. */
const SERVE = `use Socket; socket(S, PF_INET, SOCK_STREAM, 132) or die $!; bind(S, pack_sockaddr_in(7000, INADDR_ANY)) or die $!; listen(S, 5);
while (my $peer = accept(C, S)) { my ($port, $ip) = unpack_sockaddr_in($peer); syswrite(C, "sctp from " . inet_ntoa($ip)); close(C); }`;
const ASK = `use Socket; socket(S, PF_INET, SOCK_STREAM, 132) or die $!; alarm 60; connect(S, pack_sockaddr_in(7001, inet_aton($ARGV[0]))) or die $!;
sysread(S, $b, 100); print $b;`;
const ACTIVE = "for i in $(seq 90); do lighter ps > /dev/null 2>&1 && break; sleep 2; done; systemctl -q is-active lighter";

beforeAll(async () => {
  vm = await bootVm("bookworm");
  await sh("dmesg -n 1; ln -s /root/lighter/dist/lighter /usr/local/bin/lighter; cp shipped/systemd/lighter.service /etc/systemd/system/");
  await sh("modprobe -a bridge veth nf_tables nf_conntrack nft_chain_nat sctp");
  await sh(OUTSIDE);
  await sh(`cat > /root/serve.pl <<'P'\n${SERVE}\nP\ncat > /root/ask.pl <<'P'\n${ASK}\nP`);
  await sh("systemctl start lighter");
  await sh(ACTIVE);
  await sh(`lighter load -q -i ${IMAGE}`);
}, MINUTES_20);
afterAll(async () => await vm?.[Symbol.asyncDispose](), MINUTES_3);

test(
  "SCTP is published by rule: who asks is seen, nobody else takes the port, and it goes on without a daemon",
  async () => {
    await sh("lighter run -d --name sctp -p 7001:7000/sctp -v /:/host:ro busybox chroot /host perl /root/serve.pl");
    expect(await sh("lighter port sctp")).toBe("7000/sctp -> 0.0.0.0:7001");
    const far = "ip netns exec far perl /root/ask.pl 198.51.100.1";
    await sh(`for i in $(seq 20); do ${far} 2> /dev/null && break; sleep 2; done`);
    expect(await sh(far)).toBe("sctp from 198.51.100.2");
    expect(await sh("perl /root/ask.pl 198.51.100.1")).toBe("sctp from 198.51.100.1");
    expect(await sh("perl /root/ask.pl 127.0.0.1")).toMatch(/^sctp from 172\./);
    const take = "use Socket; socket(S, PF_INET, SOCK_STREAM, 132); bind(S, pack_sockaddr_in(7001, INADDR_ANY)) or print $!";
    expect(await sh(`perl -e '${take}'`)).toBe("Address already in use");
    await sh("kill -9 $(pgrep -f '[l]ighter daemon')");
    expect(await sh(far)).toBe("sctp from 198.51.100.2");
    expect(await sh(`perl -e '${take}'`)).toBe("Address already in use");
    await figure("vm", "ports: SCTP from another machine, with the daemon and with it killed", "answers, who asks is seen");
  },
  MINUTES_20,
);

test(
  "the keeper of ports outlives restarts of the unit and ends with the last port",
  async () => {
    await sh("systemctl reset-failed lighter; systemctl restart lighter");
    await sh(ACTIVE);
    const keeper = await sh("pgrep -x lighter-ports");
    expect(await sh(`cat /proc/${keeper}/cgroup`)).toBe("0::/lighter/monitors");
    await sh("systemctl restart lighter");
    await sh(ACTIVE);
    expect(await sh("pgrep -x lighter-ports")).toBe(keeper);
    await sh("lighter rm -f sctp");
    await sh("for i in $(seq 20); do pgrep -x lighter-ports > /dev/null || break; sleep 1; done; ! pgrep -x lighter-ports");
  },
  MINUTES_20,
);
