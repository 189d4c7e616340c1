import { existsSync } from "node:fs";
import { basename } from "node:path";
import { LighterError } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { RuntimeRecord } from "./runtime.ts";
import { searchPath } from "./search-path.ts";

/** `com.docker.*` and `io.containerd.*` names that Docker's users write for runc. */
const ALIASES: Readonly<Record<string, string>> = { "io.containerd.runc.v2": "runc", "io.containerd.runtime.v1.linux": "runc" };

/** Finds out what the OCI runtimes here can do: crun, runc and the configured ones, those that exist. */
export async function findRuntimes(configured: Record<string, { path: string }>): Promise<Map<string, RuntimeRecord>> {
  const paths = new Map<string, string>();
  for (const name of ["crun", "runc"]) {
    const path = Bun.which(name, { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" });
    if (path !== null) paths.set(name, path);
  }
  for (const [name, { path }] of Object.entries(configured)) {
    const found = path.startsWith("/") ? path : Bun.which(path);
    if (found !== null && existsSync(found)) paths.set(name, found);
    else logOf("runtime").warn('runtime "{name}" is left out: there is no program {path}', { name, path });
  }
  const records = await Promise.all([...paths].map(([name, path]) => examine(name, path)));
  return new Map(records.map((record) => [record.name, record]));
}

/** The record for a name as users write it. Throws `invalid` with Docker's text. */
export function recordOf(records: ReadonlyMap<string, RuntimeRecord>, name: string, fallback: string | undefined): RuntimeRecord {
  const wanted = name === "" ? (fallback ?? (records.has("crun") ? "crun" : "runc")) : (ALIASES[name] ?? name);
  const record = records.get(wanted) ?? (wanted === "runc" && name !== "runc" ? records.get("crun") : undefined);
  if (record) return record;
  if (name === "" && records.size === 0) throw new LighterError("unavailable", "Cannot run containers: neither crun nor runc is installed");
  throw new LighterError("invalid", `unknown or invalid runtime name: ${wanted}`);
}

/** How long a program may take to tell its version, in ms: whatever somebody named may wait for ever. */
const PATIENCE = 5000;

/** What a program prints when asked for its version; empty when it cannot be run. */
export async function versionText(path: string, flag = "--version"): Promise<string> {
  try {
    const process = Bun.spawn([path, flag], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      timeout: PATIENCE,
      killSignal: "SIGKILL",
    });
    // What it started may keep the pipe open for longer than itself.
    const late = Bun.sleep(PATIENCE).then(() => "");
    return await Promise.race([process.stdout.text(), late]);
  } catch {
    return "";
  }
}

/** The record of a runtime: what the program at `path` can do. */
export async function examine(name: string, path: string): Promise<RuntimeRecord> {
  const text = await versionText(path);
  const [, program = basename(path), version = "0"] = /^(\w+) version (\S+)/m.exec(text) ?? [];
  const kind = program === "crun" || program === "runc" ? program : "other";
  const has = (minimum: string): boolean => Bun.semver.order(plain(version), minimum) >= 0;
  return {
    name,
    path,
    kind,
    version,
    seccompBytes: kind === "crun" && has("1.4.0") && text.includes("+SECCOMP"),
    checkpoint: kind === "crun" ? text.includes("+CRIU") : kind === "runc" && Bun.which("criu", { PATH: searchPath() }) !== null,
    idmap: (kind === "crun" && has("1.8.0")) || (kind === "runc" && has("1.2.0")),
    cgroupDrivers: kind === "crun" && !text.includes("+SYSTEMD") ? ["cgroupfs"] : ["cgroupfs", "systemd"],
  };
}

/** `1.1.5+ds1` is 1.1.5. */
function plain(version: string): string {
  const [major = "0", minor = "0", patch = "0"] = (/^[\d.]+/.exec(version)?.[0] ?? "0").split(".");
  return `${major}.${minor}.${patch}`;
}

/** Whether starting, killing and removing may go past the runtime's own commands: its state on disk has been read and tried in these versions. */
export function isKnownCrun(record: RuntimeRecord): boolean {
  const version = plain(record.version);
  return record.kind === "crun" && Bun.semver.order(version, "1.4.0") >= 0 && Bun.semver.order(version, "2.0.0") < 0;
}
