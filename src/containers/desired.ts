import type { UserMap } from "../linux/user-namespace.ts";
import type { IdMap } from "../wire/id-map.ts";
import type { ContainerConfig, EndpointSettings, HostConfig } from "../wire/engine-api.ts";

/**
 * One mount of a container as it was decided at create: nothing about it is looked up again but the volume's directory.
 * Mounts of `Tmpfs` and of the runtime (/proc, /dev ...) are not among them.
 */
export interface PlannedMount {
  type: "bind" | "volume" | "tmpfs" | "image";
  /** Host path of a bind, name of a volume, reference of an image; empty for tmpfs. */
  source: string;
  destination: string;
  rw: boolean;
  /** What stood after the second colon of `-v`: `ro`, `z`, `rslave` ..., as inspect shows it. */
  mode: string;
  propagation: string;
  /** Came as `-v` (missing source directories are made) rather than `--mount`. */
  fromBind: boolean;
  driver?: string;
  driverOptions?: Record<string, string>;
  labels?: Record<string, string>;
  anonymous?: boolean;
  noCopy?: boolean;
  subpath?: string;
  nonRecursive?: boolean;
  /** Make the missing source of a bind. */
  createSource?: boolean;
  /** Read-only for what is mounted below, too, or fail. */
  forceRecursiveReadOnly?: boolean;
  readOnlyNonRecursive?: boolean;
  tmpfsOptions?: string[];
  /** Whose files are whose. */
  idMap?: IdMap;
}

/** What was asked for, with the image's part and all defaults filled in; stored as `containers.config_json`. */
export interface Desired {
  v: 1;
  config: ContainerConfig;
  hostConfig: HostConfig;
  endpoints: Record<string, EndpointSettings>;
  mounts: PlannedMount[];
  configDigest: string;
  /** `linux`, as inspect's `Platform` says it. */
  os: string;
  /** Why something asked for is not in force, as told at create. */
  warnings: string[];
  /** Whose numbers are whose, where its users are not the host's: for life. */
  users?: UserMap;
}

/** The program and its arguments: the entrypoint followed by the command. */
export function commandOf(config: ContainerConfig): string[] {
  return [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
}
