import { LighterError } from "../base/errors.ts";

/** What `--ulimit` may limit, as the kernel's RLIMIT_ names. */
const ULIMITS = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(" ");

/** A resource limit as the API takes it. */
export interface Ulimit {
  Name: string;
  Soft: number;
  Hard: number;
}

/** `--ulimit nofile=1024:2048`. Throws `invalid` with docker's texts. */
export function parseUlimit(text: string): Ulimit {
  const match = /^([^=]*)=(.*)$/.exec(text);
  if (!match) throw new LighterError("invalid", `invalid ulimit argument: ${text}`);
  const [, name = "", values = ""] = match;
  if (!ULIMITS.includes(name)) throw new LighterError("invalid", `invalid ulimit type: ${name}`);
  const parts = values.split(":");
  if (parts.length > 2)
    throw new LighterError("invalid", `too many limit value arguments - ${values}, can only have up to two, \`soft[:hard]\``);
  const [soft = 0, hard = soft] = parts.map((part) => {
    if (!/^-?\d+$/.test(part)) throw new LighterError("invalid", `strconv.ParseInt: parsing ${JSON.stringify(part)}: invalid syntax`);
    return Number(part);
  });
  // -1 is "no limit", the highest there is.
  if (hard !== -1 && (soft === -1 || soft > hard))
    throw new LighterError("invalid", `ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
  return { Name: name, Soft: soft, Hard: hard };
}

const SYSCTLS = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
]);

/** `--sysctl net.core.somaxconn=1024`: only those that a namespace has for itself. */
export function checkSysctl(text: string, before: Record<string, string>): Record<string, string> {
  const at = text.indexOf("=");
  const name = at < 0 ? text : text.slice(0, at);
  const allowed = at > 0 && (SYSCTLS.has(name) || name.startsWith("net.") || name.startsWith("fs.mqueue."));
  if (!allowed) throw new LighterError("invalid", `sysctl '${text}' is not allowed`);
  return { ...before, [name]: text.slice(at + 1) };
}
