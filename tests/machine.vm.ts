/** Lighter on the users' ground: Debian booted with systemd and pure cgroup v2, and what only a machine of its own can show. Deadline: 5400 s. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { bootAgain, bootVm, type Vm } from "../tools/vm.ts";
import { figure } from "./harness/figures.ts";

const MINUTES_3 = 180_000;
const MINUTES_10 = 600_000;
const IMAGE = "/root/lighter/.cache/images/1/busybox.tar";
const LAYERED = "/root/lighter/.cache/images/1/layered.tar";

/** What a daemon without containers may leave on a machine: cgroups, links, mounts, monitors, directories. */
const LEFT = [
  "findmnt -rno TARGET | grep lighter",
  "find /sys/fs/cgroup/lighter /sys/fs/cgroup/lighter.slice -mindepth 1 -type d ! -name daemon",
  "pgrep -c conmon",
  "ls /run/lighter/containers /run/lighter/rootfs /run/lighter/state/* /var/lib/lighter/containers",
].join("; ");
const NOTHING_LEFT = [
  "/run/lighter/rootfs",
  "/sys/fs/cgroup/lighter/monitors",
  "0",
  "/run/lighter/containers:\n\n/run/lighter/rootfs:\n\n/run/lighter/state/crun:\n\n/var/lib/lighter/containers:",
].join("\n");

/** Waits for the unit: the shell may be there before it. */
const ACTIVE = "for i in $(seq 30); do systemctl -q is-active lighter && break; sleep 2; done; systemctl -q is-active lighter";

/** Writers that name on the console what was acknowledged; they end with the power. */
const WRITERS = `
  (for i in $(seq 200); do lighter tag busybox t:$i && echo ack image t:$i; lighter volume create v$i > /dev/null && echo ack volume v$i; done) &
  (for i in $(seq 200); do lighter create --name c$i busybox true > /dev/null && echo ack container c$i; lighter run --rm busybox true; done) &
  (for i in $(seq 200); do lighter load -q -i ${LAYERED} > /dev/null && echo ack load; lighter rmi layered > /dev/null; done) &
  sleep 1000`;

for (const suite of ["bookworm", "trixie"] as const) {
  describe(suite, () => {
    let vm: Vm;
    /** Runs a command that has to succeed; its output. */
    const sh = async (command: string): Promise<string> => {
      const { code, stdout } = await vm.run(command, { timeout: MINUTES_3 });
      if (code !== 0) throw new Error(`${command}: exit code ${code}\n${stdout}`);
      return stdout.trim();
    };
    const inspect = async (format: string, name: string): Promise<string> => await sh(`lighter inspect -f '${format}' ${name}`);
    const again = async (): Promise<void> => {
      vm = await bootAgain(vm, suite);
      await sh("dmesg -n 1");
    };

    beforeAll(async () => {
      vm = await bootVm(suite);
      await sh("dmesg -n 1; ln -s /root/lighter/dist/lighter /usr/local/bin/lighter");
    }, MINUTES_10);
    afterAll(async () => await vm?.[Symbol.asyncDispose](), MINUTES_3);

    test(
      "it is the ground that users stand on",
      async () => {
        const [kernel, cgroups, root, system] = (
          await sh("uname -r; stat -fc %T /sys/fs/cgroup; findmnt -no PROPAGATION /; ps -o comm= -p 1")
        ).split("\n");
        expect({ cgroups, root, system }).toEqual({ cgroups: "cgroup2fs", root: "shared", system: "systemd" });
        // What compiles, links or debugs is not there: a user's machine has none of it.
        await sh("! command -v cc && ! ls /usr/lib/*/libc.so");
        await figure("vm", `${suite}: kernel`, kernel ?? "");
      },
      MINUTES_3,
    );

    test(
      "the first command starts the daemon; run with and without a network, codes, seccomp",
      async () => {
        expect(await sh(`lighter load -i ${IMAGE}`)).toContain("Loaded image: busybox:latest");
        expect(await sh("lighter run --rm busybox echo bridge")).toBe("bridge");
        expect(await sh("lighter run --rm --network none busybox echo none")).toBe("none");
        expect(await sh("lighter run --rm busybox grep Seccomp: /proc/self/status")).toBe("Seccomp:\t2");
        expect((await vm.run("lighter run --rm busybox sh -c 'exit 7'", { timeout: MINUTES_3 })).code).toBe(7);
        expect(await sh("lighter run hello-world")).toContain("Hello from Lighter!");
        await sh("lighter rm $(lighter ps -aq); lighter rmi hello-world");
      },
      MINUTES_3,
    );

    test(
      "limits are in the files of cgroup v2, for run and exec; a kill for want of memory is told",
      async () => {
        await sh("lighter run -d --name limited -m 64m --pids-limit 50 --cpus 0.5 busybox sleep 1000");
        const read = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max";
        expect(await sh(`lighter exec limited sh -c '${read}; grep Seccomp: /proc/self/status'`)).toBe(
          "67108864\n50\n50000 100000\nSeccomp:\t2",
        );
        expect(await sh("cat /proc/$(lighter inspect -f '{{.State.Pid}}' limited)/cgroup")).toMatch(/^0::\/lighter\.slice\/lighter-/);
        expect(await sh("cat /proc/$(pgrep conmon)/cgroup")).toBe("0::/lighter/monitors");
        expect(await sh("lighter pause limited && lighter ps --format '{{.Status}}' && lighter unpause limited")).toContain("(Paused)");
        const format = "{{.Name}} {{.PIDs}} {{.MemUsage}}";
        expect(await sh(`lighter stats --no-stream --format '${format}'`)).toMatch(/^limited 1 [1-9][\d.]*[KM]iB \/ 64MiB$/);
        expect(await sh("lighter stats --no-stream --format '{{.CPUPerc}}'")).toMatch(/^\d+\.\d\d%$/);
        await sh("lighter update -m 96m --memory-swap 96m --pids-limit 60 --cpus 0.25 limited");
        expect(await sh(`lighter exec limited sh -c '${read}'`)).toBe("100663296\n60\n25000 100000");
        await sh("lighter rm -f limited");
        const fill = "dd if=/dev/zero of=/dev/null bs=100M count=1";
        await vm.run(`lighter run --name killed -m 32m busybox ${fill}`, { timeout: MINUTES_3 });
        expect(await inspect("{{.State.OOMKilled}} {{.State.ExitCode}}", "killed")).toBe("true 137");
        await vm.run(`lighter run --name survived -m 32m busybox sh -c '${fill}; exit 4'`, { timeout: MINUTES_3 });
        expect(await inspect("{{.State.OOMKilled}} {{.State.ExitCode}}", "survived")).toBe("true 4");
        await sh("lighter rm killed survived");
      },
      MINUTES_3,
    );

    test(
      "files of running and stopped containers, volumes, export",
      async () => {
        await sh("echo host > /root/file; lighter run -d --name files -v data:/data busybox sleep 1000");
        await sh("lighter cp /root/file files:/tmp/one && lighter exec files sh -c 'cat /tmp/one > /data/two'");
        await sh("lighter stop -t 0 files; lighter cp /root/file files:/tmp/three; lighter cp files:/data/two /root/two");
        expect(await sh("cat /root/two; lighter start files; lighter exec files cat /tmp/three /data/two")).toBe("host\nfiles\nhost\nhost");
        expect(await sh("lighter diff files | grep three; lighter export files | tar -tf - | grep tmp/three")).toBe(
          "A /tmp/three\ntmp/three",
        );
        expect(await sh("lighter run --rm -v copied:/etc busybox ls /etc/group")).toBe("/etc/group");
        await sh("mkdir -p /root/outer/inner; lighter run -d --name slave -v /root/outer:/outer:rslave busybox sleep 1000");
        const mounted = "mount -t tmpfs none /root/outer/inner; touch /root/outer/inner/seen; lighter exec slave ls /outer/inner";
        expect(await sh(`${mounted}; umount /root/outer/inner`)).toBe("seen");
        await sh("lighter rm -f files slave; lighter volume rm data copied");
      },
      MINUTES_3,
    );

    test(
      "a published port, and a daemon that is killed",
      async () => {
        const serve = "mkdir /www; echo served > /www/index.html; echo started; httpd -f -p 80 -h /www";
        await sh(`lighter run -d --name web -p 8080:80 busybox sh -c '${serve}'`);
        const pid = await inspect("{{.State.Pid}}", "web");
        const get = "for i in 1 2 3 4 5; do busybox wget -qO- http://127.0.0.1:8080/ && break; sleep 1; done";
        expect(await sh(get)).toBe("served");
        await sh("kill -9 $(pgrep -f '[l]ighter daemon')");
        expect(await sh(get)).toBe("served");
        expect(await inspect("{{.State.Pid}}", "web")).toBe(pid);
        expect(await sh(`lighter logs web; lighter exec web echo works; ${get}`)).toBe("started\nworks\nserved");
        await sh("lighter rm -f web");
      },
      MINUTES_3,
    );

    test(
      "a container whose monitor was killed ends, as far as this kernel can tell how",
      async () => {
        await sh("lighter run -d --name alone busybox sh -c 'sleep 5; exit 5'; kill -9 $(pgrep conmon)");
        expect(await sh("lighter wait alone")).toMatch(/^(5|255)$/);
        await sh("lighter rm alone");
      },
      MINUTES_3,
    );

    test(
      "nothing is left, in the host's table of mounts neither",
      async () => {
        await sh("sh -c 'for i in 1 2 3 4 5 6 7 8; do lighter run --rm busybox true & done; wait; sleep 2'");
        expect(await sh(`${LEFT}; true`)).toBe(NOTHING_LEFT);
        expect(
          await sh("for t in /proc/$(pgrep -f '[l]ighter daemon')/task/*; do readlink $t/ns/mnt $t/ns/net; done | sort -u | wc -l"),
        ).toBe("2");
      },
      MINUTES_3,
    );

    test(
      "as a unit of systemd: containers outlive its restart, its stop and its end",
      async () => {
        await sh("kill $(pgrep -f '[l]ighter daemon'); sleep 2; cp shipped/systemd/lighter.service /etc/systemd/system/");
        await sh("systemd-analyze verify /etc/systemd/system/lighter.service && systemctl enable --now lighter");
        await sh("lighter run -d --name always --restart always busybox sleep 100000");
        await sh("lighter run -d --name stopped --restart unless-stopped busybox sleep 100000; lighter stop -t 0 stopped");
        await sh("lighter run -d --name once busybox sleep 100000");
        const pid = await inspect("{{.State.Pid}}", "always");
        const here = async (): Promise<void> => expect(await inspect("{{.State.Running}} {{.State.Pid}}", "always")).toBe(`true ${pid}`);
        await sh("systemctl restart lighter");
        await here();
        await sh(`systemctl stop lighter; kill -0 ${pid}; systemctl start lighter`);
        await here();
        await sh("kill -9 $(systemctl show -p MainPID --value lighter); sleep 5; systemctl is-active lighter");
        await here();
        await sh(`mkdir -p /etc/lighter; echo '{"labels": ["read=again"]}' > /etc/lighter/daemon.json; systemctl reload lighter; sleep 5`);
        expect(await sh("lighter info --format '{{.Labels}}'; rm /etc/lighter/daemon.json")).toContain("[read=again]");
        await here();
        const journal = await sh("journalctl -u lighter -q --no-pager");
        expect(journal).toContain("SIGTERM: closing, containers run on");
        expect(journal).toMatch(/lighter\[\d+\]: .*ready on unix:/);
        expect(journal).not.toMatch(/level=(error|fatal)/);
      },
      MINUTES_3,
    );

    test(
      "a power cut under create, run, tag, load and volume create: what was acknowledged is there, and nothing is half-made",
      async () => {
        const from = vm.console.length;
        const ended = vm.run(WRITERS, { timeout: MINUTES_10 }).catch(() => undefined);
        await vm.waitFor(/(ack load[^]*){3}(ack container[^]*){3}/, { from, timeout: MINUTES_3 });
        await vm.cutPower();
        await ended;
        const acknowledged = [...vm.console.slice(from).matchAll(/^ack (image|volume|container) (\S+)\r$/gm)];
        expect(acknowledged.length).toBeGreaterThan(10);
        await again();

        await sh(ACTIVE);
        const images = (await sh("lighter images --format '{{.Repository}}:{{.Tag}}'")).split("\n");
        const volumes = (await sh("lighter volume ls -q")).split("\n");
        const containers = (await sh("lighter ps -a --format '{{.Names}}'")).split("\n");
        const kept = { image: images, volume: volumes, container: containers };
        const missing = acknowledged.filter(([, kind, name]) => !kept[kind as keyof typeof kept].includes(name ?? ""));
        expect(missing.map(([text]) => text.trim())).toEqual([]);
        await figure("vm", `${suite}: acknowledged images, volumes and containers that a power cut lost`, `0 of ${acknowledged.length}`);

        // What is listed works: each image runs, each container starts, no download or unpacking is left, the policy has started its own.
        for (const image of ["busybox", ...images.filter((name) => name.startsWith("layered"))])
          expect(await sh(`lighter run --rm ${image} echo runs`)).toBe("runs");
        const names = containers.filter((name) => /^c\d+$/.test(name));
        await sh(`lighter start ${names.join(" ")} && lighter wait ${names.join(" ")} && lighter rm ${names.join(" ")}`);
        expect(await sh("ls -A /var/lib/lighter/content/unpack")).toBe("");
        expect(await inspect("{{.State.Running}}", "always")).toBe("true");
        expect(await inspect("{{.State.Running}}", "stopped")).toBe("false");
        expect(await inspect("{{.State.Status}}", "once")).toBe("exited");
        expect(await sh("lighter ps -a --format '{{.Names}}' | sort | tr '\\n' ' '")).toBe("always once stopped");
      },
      2 * MINUTES_10,
    );

    test(
      "a reboot: containers whose policy says always come back, by themselves",
      async () => {
        await sh("lighter restart -t 0 once; sync");
        await vm.run("systemctl poweroff; sleep 100", { timeout: MINUTES_3 }).catch(() => undefined);
        await again();
        expect(await sh(`${ACTIVE}; lighter ps -q | wc -l`)).toBe("1");
        expect(await inspect("{{.State.Running}}", "always")).toBe("true");
        expect(await sh("lighter exec always echo back")).toBe("back");
        await sh("lighter rm -f always once stopped; sleep 2");
        expect(await sh(`${LEFT}; true`)).toBe(NOTHING_LEFT);
      },
      2 * MINUTES_10,
    );
  });
}
