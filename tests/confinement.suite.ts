/** What a container may not do, in run and in exec alike. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readlink } from "node:fs/promises";
import { Ground } from "./harness/ground.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  await ground.lighter.must("run", "-d", "--name", "still", "busybox", "sleep", "600");
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

/** Docker's fourteen: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap. */
const DEFAULT_CAPABILITIES = "00000000a80425fb";

const WAYS: Record<string, (...command: string[]) => Promise<{ code: number; stdout: string; stderr: string }>> = {
  run: async (...command) => await ground.lighter.run(["run", "--rm", "busybox", ...command]),
  exec: async (...command) => await ground.lighter.run(["exec", "still", ...command]),
};

for (const [way, inside] of Object.entries(WAYS)) {
  const shell = async (script: string): Promise<string> => (await inside("sh", "-c", script)).stdout.trim();

  test(`${way}: capabilities, seccomp`, async () => {
    const status = Object.fromEntries(
      (await shell("cat /proc/self/status")).split("\n").map((line) => line.split(/:\s*/) as [string, string]),
    );
    expect(status).toMatchObject({
      CapEff: DEFAULT_CAPABILITIES,
      CapPrm: DEFAULT_CAPABILITIES,
      CapBnd: DEFAULT_CAPABILITIES,
      CapInh: "0000000000000000",
      CapAmb: "0000000000000000",
      Seccomp: "2",
      NoNewPrivs: "0",
    });
  });

  test(`${way}: system calls that Docker's profile refuses`, async () => {
    expect((await inside("unshare", "-U", "true")).stderr).toMatch(/Operation not permitted/);
    expect((await inside("unshare", "-m", "true")).stderr).toMatch(/Operation not permitted/);
    expect((await inside("mount", "-t", "tmpfs", "none", "/tmp")).stderr).toMatch(/permission denied|Operation not permitted/i);
    expect((await inside("date", "-s", "2001-01-01")).stderr).toMatch(/Operation not permitted/);
  });

  test(`${way}: masked and read-only paths`, async () => {
    // Not every kernel has every one of them.
    const masked =
      "/proc/kcore /proc/keys /proc/timer_list /proc/latency_stats /proc/sched_debug /proc/asound /proc/acpi /proc/scsi /sys/firmware";
    expect(
      await shell(`for path in ${masked}; do [ -f $path ] && cat $path; [ -c $path ] && cat $path; [ -d $path ] && ls -A $path; done`),
    ).toBe("");
    for (const path of ["/proc/sys/kernel/domainname", "/proc/sysrq-trigger", "/sys/kernel/profiling", "/proc/irq/default_smp_affinity"]) {
      const { stderr } = await inside("sh", "-c", `[ ! -e ${path} ] && echo read-only >&2; echo x > ${path}`);
      expect(stderr.toLowerCase()).toMatch(/read-only|permission denied/);
    }
  });

  test(`${way}: devices`, async () => {
    expect((await shell("ls /dev")).split("\n").filter((name) => name !== "console" && name !== "core")).toEqual([
      "fd",
      "full",
      "mqueue",
      "null",
      "ptmx",
      "pts",
      "random",
      "shm",
      "stderr",
      "stdin",
      "stdout",
      "tty",
      "urandom",
      "zero",
    ]);
    const { stderr } = await inside("sh", "-c", "mknod /tmp/disk-$$ b 254 0 && head -c 1 /tmp/disk-$$");
    expect(stderr).toMatch(/Operation not permitted/);
    expect(await shell("echo x > /dev/null && head -c 4 /dev/zero | wc -c && echo ok")).toBe("4\nok");
  });

  test(`${way}: no descriptor of the daemon, the monitor or the runtime leaks in`, async () => {
    const fds = (await shell("ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> .*/\\1/p'")).split("\n").map(Number);
    expect(fds.filter((fd) => fd > 3)).toEqual([]); // 3 is the folder that ls reads
  });

  test(`${way}: namespaces of its own`, async () => {
    for (const kind of ["mnt", "pid", "net", "ipc", "uts"]) {
      const own = await shell(`readlink /proc/self/ns/${kind}`);
      expect(own).toMatch(new RegExp(`^${kind}:\\[\\d+\\]$`));
      expect(own).not.toBe(await readlink(`/proc/self/ns/${kind}`));
    }
  });

  test(`${way}: the host's processes are not seen`, async () => {
    expect((await shell("ps -o comm= | sort -u || ps")).split("\n").length).toBeLessThan(8);
    expect(await shell("cat /proc/1/comm")).toMatch(way === "run" ? /^(sh|cat)$/ : /^sleep$/);
  });
}

const cgroupFile = (v1: string, v2: string): string => `cat /sys/fs/cgroup/${v1} 2>/dev/null || cat /sys/fs/cgroup/${v2}`;

test("memory, pids and cpu limits are the cgroup's", async () => {
  const script = [
    cgroupFile("memory/memory.limit_in_bytes", "memory.max"),
    cgroupFile("pids/pids.max", "pids.max"),
    "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null || cat /sys/fs/cgroup/cpu.max",
  ].join("; ");
  const { stdout } = await ground.lighter.run([
    "run",
    "--rm",
    "--memory",
    "64m",
    "--pids-limit",
    "33",
    "--cpus",
    "0.5",
    "busybox",
    "sh",
    "-c",
    script,
  ]);
  expect(stdout.split(/\s+/).filter(Boolean)).toEqual([String(64 << 20), "33", "50000", "100000"]);
});

test("a container that takes too much memory is killed and says so", async () => {
  const name = ground.name();
  const { code } = await ground.lighter.run([
    "run",
    "--name",
    name,
    "--memory",
    "32m",
    "--memory-swap",
    "32m",
    "busybox",
    "tail",
    "/dev/zero",
  ]);
  expect(code).toBe(137);
  expect(await ground.lighter.must("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", name)).toBe("true 137");
  await ground.lighter.must("rm", name);
});

test("an exec has the container's score for the killer of a machine without memory", async () => {
  await ground.lighter.must("run", "-d", "--name", "scored", "--oom-score-adj", "500", "busybox", "sleep", "600");
  const script = "until grep -q ^500$ /proc/self/oom_score_adj; do sleep 0.05; done; echo scored";
  expect(await ground.lighter.must("exec", "scored", "sh", "-c", script)).toBe("scored");
  await ground.lighter.must("rm", "-f", "scored");
});

test("a fork bomb ends at the pids limit", async () => {
  const { stderr } = await ground.lighter.run([
    "run",
    "--rm",
    "--pids-limit",
    "16",
    "busybox",
    "sh",
    "-c",
    "for n in $(seq 40); do sleep 2 & done; wait",
  ]);
  expect(stderr).toMatch(/can't fork|Resource temporarily unavailable/);
});

test("--cap-drop, --cap-add, --privileged and no-new-privileges", async () => {
  const status = async (...flags: string[]): Promise<string> => {
    const script = "grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status | cut -f2";
    const { stdout, stderr } = await ground.lighter.run(["run", "--rm", ...flags, "busybox", "sh", "-c", script]);
    return (stdout + stderr).trim().replaceAll("\n", " ");
  };
  expect(await status("--cap-drop", "ALL")).toBe("0000000000000000 0 2");
  expect(await status("--cap-drop", "ALL", "--cap-add", "NET_ADMIN")).toBe("0000000000001000 0 2");
  expect(await status("--security-opt", "no-new-privileges")).toBe(`${DEFAULT_CAPABILITIES} 1 2`);
  expect(await status("--security-opt", "seccomp=unconfined")).toBe(`${DEFAULT_CAPABILITIES} 0 0`);
  const [capabilities = "", , seccomp] = (await status("--privileged")).split(" ");
  expect(seccomp).toBe("0");
  expect(BigInt(`0x${capabilities}`) & 0x200000n).toBe(0x200000n); // sys_admin
});

test("a user without root has no capabilities", async () => {
  const { stdout } = await ground.lighter.run(["run", "--rm", "-u", "33", "busybox", "sh", "-c", "id -u; grep CapEff /proc/self/status"]);
  expect(stdout).toBe("33\nCapEff:\t0000000000000000\n");
});

test("--read-only, --tmpfs, --ulimit, --sysctl, --hostname", async () => {
  const run = async (...args: string[]): Promise<string> => (await ground.lighter.run(["run", "--rm", ...args])).stdout.trim();
  expect(
    await run("--read-only", "--tmpfs", "/scratch", "busybox", "sh", "-c", "touch /x 2>/dev/null || echo no; touch /scratch/x && echo yes"),
  ).toBe("no\nyes");
  expect(await run("--ulimit", "nofile=111:222", "busybox", "sh", "-c", "ulimit -n; ulimit -Hn")).toBe("111\n222");
  expect(await run("--sysctl", "net.ipv4.ip_forward=0", "busybox", "cat", "/proc/sys/net/ipv4/ip_forward")).toBe("0");
  expect(await run("--hostname", "named", "busybox", "sh", "-c", "hostname; grep -c named /etc/hosts")).toBe("named\n1");
});
