import { readFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { rawNumber, type RawNumber } from "../base/exact-json.ts";
import type { Process } from "../oci/spec.ts";
import type { HostConfig } from "../wire/engine-api.ts";

const NAMES: Readonly<Record<string, string>> = {
  as: "Max address space",
  core: "Max core file size",
  cpu: "Max cpu time",
  data: "Max data size",
  fsize: "Max file size",
  locks: "Max file locks",
  memlock: "Max locked memory",
  msgqueue: "Max msgqueue size",
  nice: "Max nice priority",
  nofile: "Max open files",
  nproc: "Max processes",
  rss: "Max resident set",
  rtprio: "Max realtime priority",
  rttime: "Max realtime timeout",
  sigpending: "Max pending signals",
  stack: "Max stack size",
};

/** `RLIMIT_NOFILE` for `nofile`. Throws `invalid` with Docker's text. */
export function rlimitName(name: string): string {
  if (!(name in NAMES)) throw new LighterError("invalid", `invalid ulimit type: ${name}`);
  return `RLIMIT_${name.toUpperCase()}`;
}

/** Stands for RLIM_INFINITY until it is written: 2^64 - 1 is no number of ours. */
const INFINITY = Number.POSITIVE_INFINITY;
const RLIM_INFINITY = rawNumber(2n ** 64n - 1n);

/**
 * The limits of a process as the OCI spec has them. Without `CAP_SYS_RESOURCE` no limit can be raised past the daemon's own hard one:
 * it is clamped, and a sentence says so.
 */
export function rlimitsOf(
  ulimits: NonNullable<HostConfig["Ulimits"]>,
  options: { mayRaise: boolean; limits?: string },
): { rlimits: NonNullable<Process["rlimits"]>; warnings: string[] } {
  const warnings: string[] = [];
  const rlimits = ulimits.map(({ Name = "", Soft = 0, Hard = 0 }) => {
    const type = rlimitName(Name);
    const hard = Hard < 0 ? INFINITY : Hard;
    const soft = Soft < 0 ? INFINITY : Soft;
    const most = options.mayRaise ? INFINITY : hardLimit(Name, options.limits);
    if (hard > most)
      warnings.push(`ulimit ${Name}: ${Hard < 0 ? "unlimited" : Hard} is above this machine's hard limit and was lowered to ${most}`);
    return { type, soft: written(Math.min(soft, most)), hard: written(Math.min(hard, most)) };
  });
  return { rlimits, warnings };
}

function written(limit: number): number | RawNumber {
  return limit === INFINITY ? RLIM_INFINITY : limit;
}

let ownLimits: string | undefined;

function hardLimit(name: string, limits = (ownLimits ??= readFileSync("/proc/self/limits", "utf8"))): number {
  const line = limits.split("\n").find((text) => text.startsWith(NAMES[name] ?? "?"));
  const hard = /^.{26}\S+\s+(\S+)/.exec(line ?? "")?.[1];
  return hard === undefined || hard === "unlimited" ? INFINITY : Number(hard);
}
