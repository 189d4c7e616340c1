import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { logOf } from "../base/log.ts";
import { hasLibseccomp } from "../linux/seccomp.ts";
import type { Spawner } from "../linux/spawner.ts";
import type { Seccomp } from "../oci/spec.ts";
import type { RuntimeRecord, TaskSpec } from "./runtime.ts";
import { resolveProfile, toFilter } from "./seccomp-profile.ts";

/** What a bundle gets: a compiled filter in base64, or a resolved profile. */
export type BundleFilter = { bytes: string } | { profile: Seccomp };

/** Compiled filters by (profile, capabilities, architecture), kept in memory and on disk. */
export interface SeccompFilters {
  /** Bytes where the runtime takes them, else the resolved profile, or nothing. Throws `invalid` for a bad profile. */
  filterFor(spec: TaskSpec): Promise<BundleFilter | undefined>;
  /** Compiles Docker's profile for a container without further capabilities, in the background. */
  prepare(): void;
}

/** Those of Docker's default capabilities that its profile asks about. */
const DEFAULT_CAPABILITIES = ["CAP_SYS_CHROOT"];
/** Part of the name of a compiled filter: to be raised when they come out different. */
const COMPILER = 2;
/** Few profiles and capability sets are in use at once; beyond this the oldest are forgotten. */
const KEPT = 64;

/** Filters cached under `<exec-root>/seccomp`. */
export function openFilters(execRoot: string, compile: Spawner["compileSeccomp"]): SeccompFilters {
  const directory = `${execRoot}/seccomp`;
  const known = new Map<string, Promise<BundleFilter>>();
  const available = hasLibseccomp();
  mkdirSync(directory, { recursive: true, mode: 0o700 });

  const running = new Map<string, Promise<BundleFilter>>();

  function compiled(profile: Seccomp): Promise<BundleFilter> {
    const name = new Bun.CryptoHasher("sha256").update(JSON.stringify([COMPILER, process.arch, profile])).digest("hex");
    let filter = running.get(name);
    if (!filter) {
      running.set(name, (filter = readOrCompile(`${directory}/${name}`, profile)));
      void filter.catch(() => undefined).then(() => running.delete(name));
    }
    return filter;
  }

  async function readOrCompile(file: string, profile: Seccomp): Promise<BundleFilter> {
    if (existsSync(file)) return { bytes: readFileSync(file).toString("base64") };
    try {
      const bytes = await compile(toFilter(profile));
      writeFileSync(`${file}.tmp`, bytes, { mode: 0o600 });
      renameSync(`${file}.tmp`, file);
      return { bytes: Buffer.from(bytes).toString("base64") };
    } catch (error) {
      logOf("runtime").warn("cannot compile the seccomp profile, leaving it to the OCI runtime: {error}", { error });
      return { profile };
    }
  }

  return {
    prepare() {
      if (available) void compiled(resolveProfile(undefined, DEFAULT_CAPABILITIES));
    },
    async filterFor({ seccomp, runtime, spec }) {
      if (seccomp.kind === "unconfined") return undefined;
      const json = seccomp.kind === "custom" ? seccomp.json : undefined;
      const capabilities = spec.process.capabilities?.bounding ?? [];
      const key = JSON.stringify([runtime.seccompBytes, capabilities, json]);
      let filter = known.get(key);
      if (!filter) {
        const profile = resolveProfile(json, capabilities);
        filter = available && takesBytes(runtime, profile) ? compiled(profile) : Promise.resolve({ profile });
        known.set(key, filter);
        if (known.size > KEPT) known.delete(known.keys().next().value ?? "");
      }
      return await filter;
    },
  };
}

/** A filter with notifications or flags cannot go as bare bytes. */
function takesBytes(runtime: RuntimeRecord, profile: Seccomp): boolean {
  const notifies = (profile.syscalls ?? []).some((rule) => rule.action === "SCMP_ACT_NOTIFY");
  return runtime.seccompBytes && !notifies && (profile.flags ?? []).length === 0;
}
