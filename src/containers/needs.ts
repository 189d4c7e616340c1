import type { ContainerDefaults } from "./container-defaults.ts";
import type { Content } from "../content/content.ts";
import type { UserMap } from "../linux/user-namespace.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { State, Tx, Reader } from "../state/state.ts";
import type { EndpointSettings, NetworkingConfig, PortMap } from "../wire/engine-api.ts";
import type { Digest, ImageConfig, Platform, RunConfig } from "../oci/image.ts";

/** What containers/ asks of others; filled in by engine/. The siblings' own interfaces satisfy these as they are. */
export interface ContainersNeeds {
  state: State;
  content: Content;
  runtime: Runtime;
  images: ContainerImages;
  networks: ContainerNetworks;
  volumes: ContainerVolumes;
  options: ContainersOptions;
}

/** Configuration of containers/. */
export interface ContainersOptions {
  dataRoot: string;
  execRoot: string;
  cgroupParent: string;
  /** Seconds between the stop signal and SIGKILL where the container says nothing. */
  defaultStopTimeout: number;
  /** Defaults for `HostConfig.LogConfig`, ulimits, shm size, runtime. */
  defaultLogDriver: string;
  /** Options of the default driver, where a container gives none of its own. */
  defaultLogOptions: Readonly<Record<string, string>>;
  defaultShmSize: number;
  defaults: ContainerDefaults;
  defaultRuntime: string;
  init: boolean;
  /** The data root carries no overlay: every root is a whole copy of its layers. */
  copies?: boolean;
  /** `userns-remap`: the users of new containers that do not ask for the host's. */
  users?: UserMap | undefined;
}

export interface ContainerImages {
  runnable(
    reference: string,
    options?: { platform?: string; signal?: AbortSignal },
  ): Promise<{
    id: Digest;
    manifest: Digest;
    config: ImageConfig;
    configDigest: Digest;
    platform: Platform;
    chainId: Digest | undefined;
    layers: string[];
  }>;
  touch(tx: Tx, id: Digest): void;
  displayName(reference: string, id: Digest): string;
  commit(options: {
    base: Digest;
    layer:
      { directory: string; except: readonly string[]; whole?: { lower: readonly string[]; mountPoints: readonly string[] } } | undefined;
    config(changed: (from: RunConfig) => RunConfig): RunConfig;
    changes: readonly string[];
    author: string;
    comment: string;
    createdBy: string;
    name?: { repository: string; tag?: string };
    recorded?(tx: Tx, image: { id: Digest; name: string }): void;
    signal?: AbortSignal;
  }): Promise<Digest>;
  descriptor(manifest: Digest): { mediaType: string; digest: Digest; size: number; platform?: Platform } | undefined;
}

export interface ContainerNetworkRequest {
  containerId: string;
  containerName: string;
  hostname: string;
  domainname: string;
  mode: string;
  endpoints: NonNullable<NetworkingConfig["EndpointsConfig"]>;
  portBindings: PortMap;
  exposed: string[];
  publishAll: boolean;
  dns: string[];
  dnsOptions: string[];
  dnsSearch: string[];
  extraHosts: string[];
  links: string[];
  sysctls: Record<string, string>;
  /** What it may reach: `none`, `any`, or a list; undefined for what its networks say. */
  egress?: string | undefined;
  /** It has users of its own: its network namespace belongs to its user namespace. */
  ownUsers?: boolean;
  /** That namespace, with nothing in it: a descriptor that is the caller's to close. */
  within?: number;
}

export interface ContainerNetworks {
  check(request: ContainerNetworkRequest): void;
  reserve(tx: Tx, request: ContainerNetworkRequest): void;
  enter(
    request: ContainerNetworkRequest,
  ): Promise<{ namespace: string | undefined; hosts: string | undefined; resolvConf: string | undefined; entered(): void }>;
  leave(containerId: string): Promise<void>;
  release(tx: Tx, containerId: string): void;
  rename(tx: Tx, containerId: string, name: string): void;
  republish(tx: Tx, request: ContainerNetworkRequest): (() => Promise<void>) | undefined;
  limitWays(tx: Tx, request: ContainerNetworkRequest): (() => Promise<void>) | undefined;
  changeAliases(
    tx: Tx,
    request: ContainerNetworkRequest,
    network: string,
    change: { add: string[]; remove: string[] },
  ): { network: string; id: string; aliases: string[]; kept: boolean };
  settings(
    reader: Reader,
    containerId: string,
    asked?: Pick<ContainerNetworkRequest, "mode" | "endpoints">,
  ): { networks: Record<string, EndpointSettings>; ports: PortMap; sandboxId: string; sandboxKey: string };
  summaries(): (
    containerId: string,
    asked: Pick<ContainerNetworkRequest, "mode" | "endpoints">,
  ) => { networks: Record<string, EndpointSettings>; ports: PortMap };
}

export interface ContainerVolumes {
  reference(
    tx: Tx,
    options: {
      name: string;
      driver?: string;
      driverOptions?: Record<string, string>;
      labels?: Record<string, string>;
      anonymous: boolean;
      container: string;
      destination: string;
    },
  ): boolean;
  unreference(tx: Tx, container: string): void;
  ready(
    name: string,
    options: {
      copyFrom: (() => Promise<{ path: string; done(): void } | undefined>) | undefined;
      owners?: { from: { uid: number; gid: number }; to: { uid: number; gid: number }; users?: UserMap };
      container?: string;
      signal?: AbortSignal;
    },
  ): Promise<string>;
  inspect(name: string): { Options: Record<string, string> };
  release(container: string, keep?: ReadonlySet<string>): Promise<void>;
  adopt(containers: ReadonlySet<string>): Promise<void>;
  remove(name: string, options: { force: boolean }): Promise<void>;
  dropAnonymous(tx: Tx, container: string): () => Promise<void>;
}
