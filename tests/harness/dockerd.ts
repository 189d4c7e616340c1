import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { dockerClient, dockerDaemon } from "../../tools/programs.ts";
import { Client } from "./client.ts";
import { until } from "./until.ts";

/** Docker's own daemon on roots of its own below `root`, without rules and bridge, with a client for it; ended when the work is done. */
export async function withDockerd(
  { root, storage }: { root: string; storage: "overlay2" | "vfs" },
  work: (docker: Client) => Promise<void>,
): Promise<void> {
  const { path, env } = await dockerDaemon();
  await mkdir(root, { recursive: true });
  const socket = join(root, "s");
  const roots = ["--data-root", join(root, "data"), "--exec-root", join(root, "run"), "--pidfile", join(root, "pid")];
  const quiet = ["--iptables=false", "--ip6tables=false", "--bridge=none", `--storage-driver=${storage}`];
  const log = Bun.file(join(root, "log"));
  const child = Bun.spawn([path, ...roots, ...quiet, "-H", `unix://${socket}`], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: log,
    stderr: log,
  });
  try {
    await until("dockerd answers", async () => child.exitCode !== null || (await fetch("http://d/_ping", { unix: socket })).ok, {
      timeout: 30_000,
    });
    if (child.exitCode !== null) throw new Error(`dockerd ended: ${(await log.text()).slice(-3000)}`);
    const settings = { DOCKER_HOST: `unix://${socket}`, DOCKER_CONFIG: root, HOME: root };
    await work(new Client("docker 20.10", await dockerClient("bookworm"), settings));
  } finally {
    child.kill("SIGTERM");
    await child.exited;
  }
}
