import type { HostConfig } from "../wire/engine-api.ts";

/** What the daemon's configuration says of containers that say nothing themselves. */
export interface ContainerDefaults {
  /** `default-ulimits`: in force, but not shown by inspect. */
  ulimits: NonNullable<HostConfig["Ulimits"]>;
  /** `default-ipc-mode`. */
  ipcMode: "private" | "shareable";
  /** `default-cgroupns-mode`; undefined for the one that fits the cgroup version. */
  cgroupnsMode: "private" | "host" | undefined;
  /** `no-new-privileges` for all. */
  noNewPrivileges: boolean;
  /** `seccomp-profile`: the JSON of one, `unconfined`, or undefined for the builtin. */
  seccompProfile: string | undefined;
  /** `cgroup-parent`. */
  cgroupParent: string;
  /** `cdi-spec-dirs`: where descriptions of vendors' devices are; the later ones count more. */
  cdiSpecDirs: string[];
  /** `init-path`: the program of `--init`. */
  initPath: string | undefined;
  /** `overlay2.size` of `storage-opts`: bytes that a container may write; 0 for as many as fit. */
  storageSize: number;
  /** The AppArmor profile of containers that ask for none; undefined where none is loaded. */
  appArmorProfile: string | undefined;
  /** Limits of open files as the daemon was started with them, where the daemon has raised its own. */
  nofile: { soft: number; hard: number } | undefined;
}

/** Docker's defaults. */
export const CONTAINER_DEFAULTS: ContainerDefaults = {
  ulimits: [],
  ipcMode: "private",
  cgroupnsMode: undefined,
  noNewPrivileges: false,
  seccompProfile: undefined,
  cgroupParent: "",
  cdiSpecDirs: ["/etc/cdi", "/var/run/cdi"],
  initPath: undefined,
  storageSize: 0,
  appArmorProfile: undefined,
  nofile: undefined,
};

/** The ulimits of a container: its own, then the daemon's of other kinds; open files as the daemon found them where nobody says anything. */
export function ulimitsOf(host: HostConfig, defaults: ContainerDefaults): NonNullable<HostConfig["Ulimits"]> {
  const own = host.Ulimits ?? [];
  const has = (name: string | undefined): boolean => own.some((ulimit) => ulimit.Name === name);
  const merged = [...own, ...defaults.ulimits.filter(({ Name }) => !has(Name))];
  const { nofile } = defaults;
  if (nofile === undefined || nofile.soft >= nofile.hard || merged.some(({ Name }) => Name === "nofile")) return merged;
  return [...merged, { Name: "nofile", Soft: nofile.soft, Hard: nofile.hard }];
}
