import { formatBinaryBytes } from "../base/units.ts";
import type { SystemInfo } from "../wire/engine-api.ts";

/** What `info` says of a server: a line a fact, indented by one, details by two or three. */
export function infoText(info: SystemInfo): string {
  const lines: string[] = [];
  const add = (name: string, value: unknown, indent = 1): void => {
    lines.push(`${" ".repeat(indent)}${name}: ${String(value)}`);
  };
  const addIf = (name: string, value: unknown): void => {
    if (value !== undefined && value !== null && value !== "") add(name, value);
  };
  add("Containers", info.Containers ?? 0);
  add("Running", info.ContainersRunning ?? 0, 2);
  add("Paused", info.ContainersPaused ?? 0, 2);
  add("Stopped", info.ContainersStopped ?? 0, 2);
  add("Images", info.Images ?? 0);
  addIf("Server Version", info.ServerVersion);
  add("Storage Driver", info.Driver ?? "");
  for (const [name = "", value = ""] of info.DriverStatus ?? []) add(name, value, 2);
  addIf("Logging Driver", info.LoggingDriver);
  addIf("Cgroup Driver", info.CgroupDriver);
  addIf("Cgroup Version", info.CgroupVersion);
  lines.push(" Plugins:");
  for (const kind of ["Volume", "Network", "Authorization", "Log"] as const) {
    const names = info.Plugins?.[kind] ?? [];
    if (names.length > 0 || kind === "Volume" || kind === "Network") add(kind, names.join(" "), 2);
  }
  if (info.CDISpecDirs && info.CDISpecDirs.length > 0)
    lines.push(" CDI spec directories:", ...info.CDISpecDirs.map((folder) => `  ${folder}`));
  add("Swarm", info.Swarm?.LocalNodeState ?? "inactive");
  add(
    "Runtimes",
    Object.keys(info.Runtimes ?? {})
      .sort()
      .join(" "),
  );
  add("Default Runtime", info.DefaultRuntime ?? "");
  addIf("Init Binary", info.InitBinary);
  addIf("containerd version", info.ContainerdCommit?.ID);
  addIf("runc version", info.RuncCommit?.ID);
  if (info.InitCommit) add("init version", info.InitCommit.ID ?? "");
  addSecurity(lines, info.SecurityOptions ?? []);
  addIf("Kernel Version", info.KernelVersion);
  addIf("Operating System", info.OperatingSystem);
  addIf("OSType", info.OSType);
  addIf("Architecture", info.Architecture);
  add("CPUs", info.NCPU ?? 0);
  add("Total Memory", formatBinaryBytes(info.MemTotal ?? 0));
  addIf("Name", info.Name);
  addIf("ID", info.ID);
  add("Docker Root Dir", info.DockerRootDir ?? "");
  add("Debug Mode", info.Debug ?? false);
  addIf("HTTP Proxy", info.HttpProxy);
  addIf("HTTPS Proxy", info.HttpsProxy);
  addIf("No Proxy", info.NoProxy);
  if ((info.Labels ?? []).length > 0) lines.push(" Labels:", ...(info.Labels ?? []).map((label) => `  ${label}`));
  add("Experimental", info.ExperimentalBuild ?? false);
  addRegistries(lines, info);
  add("Live Restore Enabled", info.LiveRestoreEnabled ?? false);
  addIf("Product License", info.ProductLicense);
  for (const { Base = "", Size = 0 } of info.DefaultAddressPools ?? [])
    lines.push(...(lines.includes(" Default Address Pools:") ? [] : [" Default Address Pools:"]), `   Base: ${Base}, Size: ${Size}`);
  return `${lines.join("\n")}\n\n`;
}

function addSecurity(lines: string[], options: readonly string[]): void {
  if (options.length === 0) return;
  lines.push(" Security Options:");
  for (const option of options) {
    const fields = option.split(",").map((field) => field.split("="));
    const name = fields.find(([key]) => key === "name")?.[1] ?? option;
    lines.push(`  ${name}`);
    for (const [key = "", value = ""] of fields) if (key === "profile") lines.push(`   Profile: ${value}`);
  }
}

function addRegistries(lines: string[], info: SystemInfo): void {
  const config = info.RegistryConfig;
  const insecure = [
    ...Object.values(config?.IndexConfigs ?? {}).flatMap((one) => (one && one.Secure === false ? [one.Name ?? ""] : [])),
    ...(config?.InsecureRegistryCIDRs ?? []),
  ];
  if (insecure.length > 0) lines.push(" Insecure Registries:", ...insecure.map((name) => `  ${name}`));
  const mirrors = config?.Mirrors ?? [];
  if (mirrors.length > 0) lines.push(" Registry Mirrors:", ...mirrors.map((mirror) => `  ${mirror}`));
}
