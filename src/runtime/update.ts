import { closeFd, memoryFile, writeAll, writeFileOnce } from "../linux/fd.ts";
import { LighterError, messageOf } from "../base/errors.ts";
import type { Resources, Throttle } from "../oci/spec.ts";
import { type CgroupHost, limitsDirectory } from "./cgroup-host.ts";
import { runCommand } from "./command.ts";
import type { Context } from "./context.ts";
import { sentenceOf } from "./refusal.ts";
import type { RuntimeRecord, TaskRecord } from "./runtime.ts";

/** A throttle's place in the specification, its file on v1, and its key in v2's `io.max`. */
const THROTTLES = [
  ["throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"],
  ["throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"],
  ["throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"],
  ["throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"],
] as const;

/**
 * Changes the limits of a running container: only what is set changes. The OCI runtime does it, as it knows the cgroup driver; rates of devices,
 * which not every runtime changes, are written into the cgroup. Throws `runtime` with the runtime's or the kernel's sentence.
 */
export async function updateLimits(context: Context, runtime: RuntimeRecord, record: TaskRecord, resources: Resources): Promise<void> {
  const { devices: _rules, ...limits } = resources;
  const { block, rates } = splitRates(limits.blockIO ?? {});
  const { blockIO: _all, ...others } = limits;
  // crun writes these numbers as they are; the kernel has other words, or takes them signed.
  const lifted = runtime.kind === "crun" ? liftedBy(limits) : [];
  if (lifted.includes("pids")) delete others.pids;
  if (lifted.includes("quota")) {
    const { quota: _quota, ...cpu } = others.cpu ?? {};
    others.cpu = cpu;
    if (Object.keys(cpu).length === 0) delete others.cpu;
  }
  const asked: Resources = { ...others, ...(Object.keys(block).length > 0 ? { blockIO: block } : {}) };
  if (Object.keys(asked).length > 0) await askRuntime(context, runtime, record.id, asked);
  try {
    for (const one of lifted) lift(context.host, record.cgroup, one);
    for (const [name, list] of rates) for (const rate of list) writeRate(context.host, record.cgroup, name, rate);
  } catch (cause) {
    throw new LighterError("runtime", messageOf(cause), { cause });
  }
}

type BlockIo = NonNullable<Resources["blockIO"]>;
type RateName = (typeof THROTTLES)[number][0];

function splitRates(all: BlockIo): { block: BlockIo; rates: [RateName, Throttle[]][] } {
  const block = { ...all };
  const rates = THROTTLES.map(([name]): [RateName, Throttle[]] => [name, block[name] ?? []]);
  for (const [name] of THROTTLES) delete block[name];
  return { block, rates };
}

async function askRuntime(context: Context, runtime: RuntimeRecord, id: string, resources: Resources): Promise<void> {
  const input = memoryFile("resources");
  try {
    writeAll(input, Buffer.from(JSON.stringify(resources)));
    const { code, output } = await runCommand(context, runtime, ["update", "--resources", "/proc/self/fd/0", id], { input });
    if (code !== 0) throw new LighterError("runtime", sentenceOf(output) || `${runtime.name} update ended with ${code}`);
  } finally {
    closeFd(input);
  }
}

/** The limits that are to be none at all. */
function liftedBy({ pids, cpu }: Resources): ("pids" | "quota")[] {
  return [...((pids?.limit ?? 0) < 0 ? (["pids"] as const) : []), ...((cpu?.quota ?? 0) < 0 ? (["quota"] as const) : [])];
}

function lift(host: CgroupHost, path: string, what: "pids" | "quota"): void {
  if (host.version === 2) return writeFileOnce(`${limitsDirectory(host, path)}/${what === "pids" ? "pids.max" : "cpu.max"}`, "max");
  const [controller, file, word] = what === "pids" ? ["pids", "pids.max", "max"] : ["cpu", "cpu.cfs_quota_us", "-1"];
  const mount = host.mounts.get(controller);
  if (mount !== undefined) writeFileOnce(`${mount}${path}/${file}`, word);
}

/** A rate of 0 lifts the limit. */
function writeRate(host: CgroupHost, path: string, name: RateName, { major, minor, rate }: Throttle): void {
  const [, file, key] = THROTTLES.find(([one]) => one === name) ?? THROTTLES[0];
  if (host.version === 2)
    return writeFileOnce(`${limitsDirectory(host, path)}/io.max`, `${major}:${minor} ${key}=${rate === 0 ? "max" : rate}`);
  const mount = host.mounts.get("blkio");
  if (mount === undefined) throw new LighterError("runtime", "this host has no blkio cgroup");
  writeFileOnce(`${mount}${path}/${file}`, `${major}:${minor} ${rate}`);
}
