/** On a booted Debian 12 (Linux 6.1, cgroup v2, systemd): the daemon starts with its first client over the socket unit, and gives containers users of their own. Deadline: 3600 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { bootVm, type Vm } from "../tools/vm.ts";
import { figure } from "./harness/figures.ts";

const MINUTES_5 = 300_000;
const MINUTES_20 = 1_200_000;
const IMAGE = "/root/lighter/.cache/images/1/busybox.tar";
const ANSWERS = "for i in $(seq 90); do lighter version > /dev/null 2>&1 && break; sleep 2; done";

let vm: Vm;
/** Runs a command that has to succeed; its output. */
const sh = async (command: string): Promise<string> => {
  const { code, stdout } = await vm.run(command, { timeout: MINUTES_5 });
  if (code !== 0) throw new Error(`${command}: exit code ${code}\n${stdout}`);
  return stdout.trim();
};

beforeAll(async () => {
  vm = await bootVm("bookworm");
  await sh("dmesg -n 1; ln -s /root/lighter/dist/lighter /usr/local/bin/lighter; cp shipped/systemd/lighter.* /etc/systemd/system/");
  await sh("modprobe -a bridge veth nf_tables nf_conntrack nft_chain_nat overlay");
  await sh(`mkdir -p /etc/lighter; echo '{"userns-remap": "default"}' > /etc/lighter/daemon.json`);
}, MINUTES_20);
afterAll(async () => await vm?.[Symbol.asyncDispose](), MINUTES_5);

test(
  "the socket unit starts the daemon with its first client",
  async () => {
    await sh("systemd-analyze verify /etc/systemd/system/lighter.socket && systemctl start lighter.socket");
    expect(await sh("systemctl is-active lighter || true")).toBe("inactive");
    await sh(ANSWERS);
    expect(await sh("systemctl is-active lighter")).toBe("active");
    expect(await sh("stat -c %a:%U /run/lighter/lighter.sock")).toBe("660:root");
    await figure("vm", "the socket unit: the daemon starts with its first client over fd://", "answers");
  },
  MINUTES_20,
);

test(
  "containers have users of their own, and keep them through a restart of the unit and the end of the setting",
  async () => {
    await sh(`lighter load -q -i ${IMAGE}`);
    expect(await sh("cat /etc/subuid")).toBe("dockremap:100000:65536");
    const script = "touch /made /h/made /v/made; stat -c %u /made /bin /h/made /v/made; ping -c1 127.0.0.1 | grep -c seq=";
    expect(await sh(`lighter run --rm -v /root/h:/h -v kept:/v busybox sh -c '${script}'`)).toBe("0\n0\n0\n0\n1");
    expect(await sh("stat -c %u /root/h/made /var/lib/lighter/volumes/kept/_data/made")).toBe("100000\n0");
    await sh("lighter run -d --name web -m 50m busybox sleep 1000; lighter cp /etc/hostname web:/given");
    expect(await sh("lighter exec web stat -c %u /given")).toBe("0");
    await sh(`systemctl restart lighter; ${ANSWERS}`);
    const map = async (): Promise<string[]> => (await sh("lighter exec web cat /proc/self/uid_map")).split(/\s+/);
    expect(await map()).toEqual(["0", "100000", "65536"]);
    await sh(`echo '{}' > /etc/lighter/daemon.json; systemctl restart lighter; ${ANSWERS}`);
    expect(await map()).toEqual(["0", "100000", "65536"]);
    expect(await sh("lighter run --rm -v kept:/v busybox sh -c 'stat -c %u /v/made; cat /proc/self/uid_map'")).toMatch(
      /^0\s+0\s+0\s+4294967295$/,
    );
    await sh("lighter rm -f web");
    await figure("vm", "userns-remap on Linux 6.1, cgroup v2: owners on the disk, cp, restart, switched off", "holds");
  },
  MINUTES_20,
);
