import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { dockerDaemon } from "../tools/programs.ts";
import { must } from "../tools/shell.ts";
import { until } from "../tests/harness/until.ts";

/** A running engine that speaks Docker. */
export interface Engine {
  name: string;
  /** `unix:///...`, for DOCKER_HOST. */
  host: string;
  /** Pid of its main process, where we started it. */
  pid?: number;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts Debian's dockerd, unpacked and not installed, in mount and network namespaces of its own, so that its iptables rules and bridges never meet ours.
 * @param folder a directory of its own for data, sockets and log
 * @param options `sharesNetwork`: it stays in this network namespace and makes no rules and no bridge there
 */
export async function startDockerd(folder: string, { sharesNetwork = false } = {}): Promise<Engine> {
  await mkdir(folder, { recursive: true });
  const socket = join(folder, "docker.sock");
  const { path, env } = await dockerDaemon();
  if (Bun.which("iptables") === null) await must(["apt-get", "install", "-y", "--no-install-recommends", "iptables"]);
  const script = [
    "mount --make-rprivate /",
    // Docker 20.10 takes the hybrid hierarchy for plain cgroup v1 once the unified mount is out of sight.
    "umount /sys/fs/cgroup/unified 2>/dev/null",
    "ip link set lo up",
    'exec "$2" --data-root "$1/data" --exec-root "$1/run" --pidfile "$1/pid" -H "unix://$1/docker.sock" $3 > "$1/log" 2>&1',
  ].join("\n");
  const network = sharesNetwork ? [] : ["--net"];
  const quiet = sharesNetwork ? "--iptables=false --bridge=none" : "";
  const child = Bun.spawn(["unshare", "--mount", ...network, "sh", "-c", script, "dockerd", folder, path, quiet], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  await until("dockerd answers", async () => child.exitCode !== null || (await fetch("http://docker/_ping", { unix: socket })).ok, {
    timeout: 30_000,
  });
  if (child.exitCode !== null)
    throw new Error(`dockerd ended with ${child.exitCode}: ${(await Bun.file(join(folder, "log")).text()).slice(-2000)}`);
  return {
    name: "dockerd",
    host: `unix://${socket}`,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** An engine that runs already and stays. */
export function runningEngine(host: string): Engine {
  return { name: host, host, async [Symbol.asyncDispose]() {} };
}
