import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { DEFAULT_PROFILE_NAME, defaultProfile } from "./apparmor-profile.ts";
import type { ContainerDefaults } from "./container-defaults.ts";
import { parseSecurityOptions } from "./security-opt.ts";

const LOADED = "/sys/kernel/security/apparmor/profiles";
const PARSER = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const log = logOf("containers");

/** Whether the kernel enforces AppArmor profiles. */
export function appArmorEnabled(): boolean {
  try {
    return existsSync("/sys/kernel/security/apparmor") && readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").startsWith("Y");
  } catch {
    return false;
  }
}

/** The profile of a container's processes: the one asked for, none at all for a privileged one, else the default; undefined without AppArmor. */
export function profileOf(
  host: HostConfig,
  defaults: Pick<ContainerDefaults, "appArmorProfile">,
  enabled = appArmorEnabled(),
): string | undefined {
  if (!enabled) return undefined;
  const privileged = host.Privileged ?? false;
  const { apparmor } = parseSecurityOptions(host.SecurityOpt ?? [], privileged);
  return apparmor || (privileged ? "unconfined" : defaults.appArmorProfile);
}

/**
 * Sees to it that the kernel knows the profile that containers get by default; one that another engine has loaded stays.
 * @returns its name, or undefined where containers go without: no AppArmor, or no `apparmor_parser` (which is logged)
 */
export async function loadDefaultProfile(): Promise<string | undefined> {
  if (!appArmorEnabled()) return undefined;
  try {
    if (isLoaded(await readFile(LOADED, "utf8"))) return DEFAULT_PROFILE_NAME;
    const parser = Bun.which("apparmor_parser", { PATH: PARSER });
    if (parser === null) {
      log.warn("this kernel has AppArmor, but apparmor_parser is not installed: containers run without a profile");
      return undefined;
    }
    await load(parser);
    return DEFAULT_PROFILE_NAME;
  } catch (error) {
    log.warn("cannot load the AppArmor profile of containers, they run without: {error}", { error: messageOf(error) });
    return undefined;
  }
}

/** Whether the kernel's list of profiles (`name (mode)` a line) has one. */
export function isLoaded(list: string, name = DEFAULT_PROFILE_NAME): boolean {
  return list.split("\n").some((line) => line.startsWith(`${name} (`));
}

/**
 * Refuses a profile that the kernel does not know before the runtime would, which takes it for a missing program. Names of stacks and of other
 * namespaces are left to the kernel. Throws `invalid`.
 */
export function checkProfile(profile: string | undefined, list = (): string => readFileSync(LOADED, "utf8")): void {
  if (profile === undefined || profile === "unconfined" || /[:&]/.test(profile) || isLoaded(list(), profile)) return;
  throw new LighterError("invalid", `unable to apply apparmor profile: apparmor profile "${profile}" is not loaded`);
}

/** The parser takes the profile from its standard input; nothing is written to /etc. */
async function load(parser: string): Promise<void> {
  const text = defaultProfile((path) => existsSync(`/etc/apparmor.d/${path}`));
  const child = Bun.spawn([parser, "--replace", "--skip-cache"], { stdin: Buffer.from(text), stdout: "ignore", stderr: "pipe" });
  const why = await child.stderr.text();
  if ((await child.exited) !== 0) throw new Error(`apparmor_parser: ${why.trim()}`);
}
