import { existsSync, readFileSync, readdirSync } from "node:fs";
import { logOf } from "../base/log.ts";
import { signalPid } from "../linux/process.ts";
import type { RuntimeSpec } from "../oci/spec.ts";
import { Cgroup } from "./cgroup.ts";
import { cgroupDirectories, cgroupOf } from "./cgroup-host.ts";
import { type Context, mountPoint } from "./context.ts";
import { removeAll } from "./remove.ts";

const ID = /^[0-9a-f]{64}$/;

/** See `Runtime.sweep`: ends and removes what belongs to containers that nobody knows. */
export async function sweepExcept(context: Context, keep: ReadonlySet<string>): Promise<void> {
  const states = list(`${context.execRoot}/state`).map((name) => `${context.execRoot}/state/${name}`);
  const left = new Set(
    [
      ...list(`${context.execRoot}/containers`),
      ...list(`${context.execRoot}/rootfs`),
      ...states.flatMap(list),
      ...cgroupIds(context),
    ].filter((id) => ID.test(id) && !keep.has(id) && !context.tasks.has(id)),
  );
  if (left.size === 0) return;
  logOf("runtime").info("removing what {count} unknown containers left behind", { count: left.size });
  for (const pid of new Cgroup(context.host, `${context.cgroupParent}/monitors`).pids()) {
    const id = containerOf(pid);
    if (id !== undefined && left.has(id)) signalPid(pid, 9);
  }
  for (const id of left) {
    const directory = `${context.execRoot}/containers/${id}`;
    try {
      await removeAll(context, new Cgroup(context.host, cgroupPathOf(context, id, `${directory}/config.json`)), [
        ...states.map((state) => `${state}/${id}`),
        directory,
        mountPoint(context, id),
      ]);
    } catch (error) {
      // What cannot be ended must not keep the daemon from serving everything else; the next sweep tries again.
      logOf("runtime").error("cannot remove what container {id} left behind: {error}", { id, error });
    }
  }
}

/** The cgroup that the bundle names, if it is not below our own parent. */
function cgroupPathOf(context: Context, id: string, bundle: string): string {
  const own = cgroupOf(context.driver, context.cgroupParent, id).path;
  try {
    const { linux } = JSON.parse(readFileSync(bundle, "utf8")) as RuntimeSpec;
    return context.driver === "cgroupfs" && linux.cgroupsPath?.endsWith(`/${id}`) === true ? linux.cgroupsPath : own;
  } catch {
    return own;
  }
}

function cgroupIds(context: Context): string[] {
  const parent = cgroupOf(context.driver, context.cgroupParent, "x").path.replace(/\/[^/]+$/, "");
  return cgroupDirectories(context.host, parent)
    .flatMap(list)
    .map((name) => name.replace(/^lighter-(.*)\.scope$/, "$1"));
}

/** The container that a conmon watches, from its command line. */
function containerOf(pid: number): string | undefined {
  try {
    const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return argv[argv.indexOf("-c") + 1];
  } catch {
    return undefined;
  }
}

function list(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
