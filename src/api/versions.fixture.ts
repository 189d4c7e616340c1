import type { Engine } from "../engine/engine.ts";
import { engineWith } from "./api.fixture.ts";

/** An object, its fields open. */
export type Json = Record<string, unknown>;

/** What an engine's parts were asked for by a request. */
type Asked = Json | undefined;

/** A request, and what comes of it below and from a version on. */
export interface Case {
  /** Path and query, without the version. */
  ask: string;
  body?: Json;
  /** What holds below the version: a part of the answer (of its first item), or of what the engine was asked. */
  old: Json;
  /** Likewise from the version on. */
  now: Json;
}

const address = { IPAddress: "172.17.0.2", IPPrefixLen: 16, Gateway: "172.17.0.1", MacAddress: "02:42:ac:11:00:02", EndpointID: "e" };
const ID = "0123456789abcdef".repeat(4);

/** An engine that answers with what the newest version has, and keeps what it was asked. */
export function engineThatKeeps(): { engine: Engine; asked: () => Asked } {
  let asked: Asked;
  const keep = (value: unknown): void => void (asked = value as Json);
  const engine = engineWith({
    containers: {
      inspect: async () =>
        ({
          Id: ID,
          Config: { Hostname: "host" },
          HostConfig: { NetworkMode: "own" },
          NetworkSettings: { Networks: { bridge: address, own: { Aliases: ["a"] } } },
          Storage: { RootFS: { Snapshot: { Name: "overlayfs" } } },
          ImageManifestDescriptor: {},
        }) as never,
      askedMacAddress: () => address.MacAddress,
      list: async () => [{ Id: ID, Health: { Status: "healthy" }, HostConfig: { Annotations: {} }, ImageManifestDescriptor: {} }] as never,
      create: async (_name, body, options) => {
        keep({ ...body, options });
        return { id: ID, warnings: [] };
      },
      createExec: async (_id, body) => {
        keep(body);
        return ID;
      },
      stop: async (_id, options) => keep(options),
      restart: async (_id, options) => keep(options),
      wait: (_id, condition) => {
        keep({ condition });
        return { result: Promise.resolve({ statusCode: 0 }), cancel: () => {} } as never;
      },
    },
    images: {
      inspect: async (_name, options) => {
        keep(options);
        return { Id: "i", Size: 7, Created: "", RepoTags: [], Config: { Cmd: ["sh"] }, Descriptor: {}, Identity: {} } as never;
      },
      list: async (options) => {
        keep({ ...options, filters: Object.fromEntries(options.filters) });
        return [{ Id: "i", Size: 7, RepoTags: [], RepoDigests: [], Containers: 2, Descriptor: {} }] as never;
      },
      history: async (_name, options) => {
        keep(options);
        return [];
      },
      remove: async (_name, options) => {
        keep(options);
        return [];
      },
    },
    networks: {
      list: () => [{ Id: "n" }] as never,
      inspect: () => ({ Id: "n", Status: {}, Containers: { c: {} } }) as never,
      create: async (options) => {
        keep(options);
        return { id: ID, warning: "" };
      },
    },
    volumes: {
      prune: async (filters) => {
        keep(Object.fromEntries(filters));
        return { deleted: [], bytes: 0 };
      },
    },
    info: async () =>
      ({
        FirewallBackend: {},
        RegistryConfig: {},
        RuncCommit: { ID: "crun 1" },
        SecurityOptions: ["name=seccomp,profile=builtin", "name=cgroupns"],
      }) as never,
    diskUsage: async (query: { verbose: boolean }) => {
      keep(query);
      return {
        ImageUsage: { TotalSize: 5, ...(query.verbose ? { Items: [{ Size: 7, Descriptor: {} }] } : {}) },
        VolumeUsage: { TotalSize: 0 },
      } as never;
    },
  });
  return { engine, asked: () => asked };
}

const PLATFORM = `platform=${encodeURIComponent('{"os":"linux","architecture":"arm64"}')}`;
export const inspect = { ask: "/containers/x/json" };
const ps = { ask: "/containers/json" };
const image = { ask: "/images/x/json" };
const images = { ask: "/images/json" };
export const info = { ask: "/info" };
const usage = { ask: "/system/df" };
const networks = { ask: "/networks" };
/** A field that is not there. */
export const GONE = undefined;

function create(body: Json): { ask: string; body: Json } {
  return { ask: "/containers/create", body: { Image: "x", ...body } };
}

function mount(one: Json): { ask: string; body: Json } {
  return create({ HostConfig: { Mounts: [one] } });
}

function refused(message: string): Json {
  return { message };
}

/** A case for each row, by its version, its first route and its field. */
export const CASES: Record<string, Case> = {
  "25 POST /containers/create HostConfig.AutoRemove": {
    ...create({ HostConfig: { AutoRemove: true } }),
    old: { HostConfig: { AutoRemove: GONE } },
    now: { HostConfig: { AutoRemove: true } },
  },
  "30 POST /containers/:id/wait condition": {
    ask: "/containers/x/wait?condition=removed",
    old: { condition: "not-running" },
    now: { condition: "removed" },
  },
  "40 POST /containers/create HostConfig.IpcMode": {
    ...create({}),
    old: { HostConfig: { IpcMode: "shareable" } },
    now: { HostConfig: GONE },
  },
  "40 POST /containers/create HostConfig.Mounts: BindOptions.NonRecursive": {
    ...mount({ Type: "bind", BindOptions: { NonRecursive: true } }),
    old: { HostConfig: { Mounts: [{ Type: "bind", BindOptions: { NonRecursive: GONE } }] } },
    now: { HostConfig: { Mounts: [{ Type: "bind", BindOptions: { NonRecursive: true } }] } },
  },
  "41 POST /containers/create platform": {
    ask: "/containers/create?platform=linux/arm64",
    body: { Image: "x" },
    old: { options: { platform: GONE } },
    now: { options: { platform: "linux/arm64" } },
  },
  "41 GET /images/json filter": { ask: "/images/json?filter=busy*", old: { filters: { reference: ["busy*"] } }, now: { filters: {} } },
  "42 POST /containers/create HostConfig.ConsoleSize": {
    ...create({ HostConfig: { ConsoleSize: [4, 5] } }),
    old: { HostConfig: { ConsoleSize: GONE } },
    now: { HostConfig: { ConsoleSize: [4, 5] } },
  },
  "42 POST /containers/:id/exec ConsoleSize": {
    ask: "/containers/x/exec",
    body: { Cmd: ["true"], ConsoleSize: [4, 5] },
    old: { ConsoleSize: GONE },
    now: { ConsoleSize: [4, 5] },
  },
  "42 POST /containers/create HostConfig.Mounts: BindOptions.CreateMountpoint": {
    ...mount({ Type: "bind", BindOptions: { CreateMountpoint: true } }),
    old: { HostConfig: { Mounts: [{ Type: "bind", BindOptions: { CreateMountpoint: GONE } }] } },
    now: { HostConfig: { Mounts: [{ Type: "bind", BindOptions: { CreateMountpoint: true } }] } },
  },
  "42 POST /containers/create HostConfig.Mounts: options of another type": {
    ...mount({ Type: "bind", TmpfsOptions: { Mode: 7 } }),
    old: { HostConfig: { Mounts: [{ Type: "bind", TmpfsOptions: GONE }] } },
    now: { HostConfig: { Mounts: [{ Type: "bind", TmpfsOptions: { Mode: 7 } }] } },
  },
  "42 POST /containers/:id/stop signal": { ask: "/containers/x/stop?signal=HUP", old: { signal: GONE }, now: { signal: "HUP" } },
  "42 GET /images/json shared-size": { ask: "/images/json?shared-size=1", old: { sharedSize: false }, now: { sharedSize: true } },
  "42 GET /system/df type": { ask: "/system/df?type=image&verbose=1", old: { types: GONE }, now: { types: ["image"] } },
  "42 POST /volumes/prune filters: all": { ask: "/volumes/prune", old: { all: ["true"] }, now: { all: GONE } },
  "43 POST /containers/create HostConfig.Annotations": {
    ...create({ HostConfig: { Annotations: { a: "b" } } }),
    old: { HostConfig: { Annotations: GONE } },
    now: { HostConfig: { Annotations: { a: "b" } } },
  },
  "44 POST /containers/create Healthcheck.StartInterval": {
    ...create({ Healthcheck: { StartInterval: 7 } }),
    old: { Healthcheck: { StartInterval: GONE } },
    now: { Healthcheck: { StartInterval: 7 } },
  },
  "44 POST /containers/create HostConfig.Mounts: BindOptions.ReadOnlyForceRecursive": {
    ...mount({ Type: "bind", BindOptions: { ReadOnlyForceRecursive: true } }),
    old: refused("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer"),
    now: { HostConfig: { Mounts: [{ Type: "bind", BindOptions: { ReadOnlyForceRecursive: true } }] } },
  },
  "44 POST /containers/create HostConfig.Mounts: read-only binds": {
    ...mount({ Type: "bind", ReadOnly: true }),
    old: { HostConfig: { Mounts: [{ Type: "bind", ReadOnly: true, BindOptions: { ReadOnlyNonRecursive: true } }] } },
    now: { HostConfig: { Mounts: [{ Type: "bind", ReadOnly: true }] } },
  },
  "44 POST /containers/create NetworkingConfig.EndpointsConfig: more than one": {
    ...create({ NetworkingConfig: { EndpointsConfig: { a: {}, b: {} } } }),
    old: refused("Container cannot be created with multiple network endpoints: a, b"),
    now: { NetworkingConfig: { EndpointsConfig: { a: {}, b: {} } } },
  },
  "44 POST /containers/create NetworkingConfig.EndpointsConfig: MacAddress": {
    ...create({ NetworkingConfig: { EndpointsConfig: { a: { MacAddress: "02:00:00:00:00:01" } } } }),
    old: { NetworkingConfig: { EndpointsConfig: { a: { MacAddress: GONE } } } },
    now: { NetworkingConfig: { EndpointsConfig: { a: { MacAddress: "02:00:00:00:00:01" } } } },
  },
  "45 POST /containers/create HostConfig.Mounts: VolumeOptions.Subpath": {
    ...mount({ Type: "volume", VolumeOptions: { Subpath: "x" } }),
    old: refused("VolumeOptions.Subpath needs API v1.45 or newer"),
    now: { HostConfig: { Mounts: [{ Type: "volume", VolumeOptions: { Subpath: "x" } }] } },
  },
  "47 GET /images/json manifests": { ask: "/images/json?manifests=1", old: { manifests: false }, now: { manifests: true } },
  "48 POST /containers/create HostConfig.Mounts: type image": {
    ...mount({ Type: "image", Source: "y" }),
    old: refused('Mount type "Image" needs API v1.48 or newer'),
    now: { HostConfig: { Mounts: [{ Type: "image", Source: "y" }] } },
  },
  "48 POST /containers/create NetworkingConfig.EndpointsConfig: GwPriority": {
    ...create({ NetworkingConfig: { EndpointsConfig: { a: { GwPriority: 3 } } } }),
    old: { NetworkingConfig: { EndpointsConfig: { a: { GwPriority: GONE } } } },
    now: { NetworkingConfig: { EndpointsConfig: { a: { GwPriority: 3 } } } },
  },
  "48 POST /networks/create EnableIPv4": {
    ask: "/networks/create",
    body: { Name: "n", EnableIPv4: false },
    old: { enableIPv4: true },
    now: { enableIPv4: false },
  },
  "48 GET /images/:name{.+}/history platform": {
    ask: `/images/x/history?${PLATFORM}`,
    old: { platform: GONE },
    now: { platform: "linux/arm64" },
  },
  "48 GET /images/:name{.+}/json manifests": { ask: "/images/x/json?manifests=1", old: { manifests: false }, now: { manifests: true } },
  "49 GET /images/:name{.+}/json platform": {
    ask: `/images/x/json?${PLATFORM}`,
    old: { platform: GONE },
    now: { platform: "linux/arm64" },
  },
  "50 DELETE /images/:name{.+} platforms": {
    ask: "/images/x?platforms=linux/arm64",
    old: { platforms: GONE },
    now: { platforms: ["linux/arm64"] },
  },
  "52 GET /system/df verbose": { ask: "/system/df?verbose=0", old: { verbose: true }, now: { verbose: false } },
  "52 POST /containers/create MacAddress": {
    ...create({ MacAddress: "02:00:00:00:00:01" }),
    old: { NetworkingConfig: { EndpointsConfig: { default: { MacAddress: "02:00:00:00:00:01" } } }, MacAddress: GONE },
    now: { NetworkingConfig: GONE, MacAddress: GONE },
  },
  "53 POST /containers/create HostConfig.PortBindings: an empty list": {
    ...create({ HostConfig: { PortBindings: { "80/tcp": [] } } }),
    old: { HostConfig: { PortBindings: { "80/tcp": [{}] } } },
    now: { HostConfig: { PortBindings: {} } },
  },

  "53 GET /system/df LayersSize, Images, Containers, Volumes, BuildCache": {
    ...usage,
    old: { LayersSize: 5, Images: [{ Size: 7 }], Containers: null, BuildCache: null },
    now: { LayersSize: GONE, Images: GONE },
  },
  "52 GET /system/df ImageUsage, ContainerUsage, VolumeUsage, BuildCacheUsage": {
    ...usage,
    old: { ImageUsage: GONE, VolumeUsage: GONE },
    now: { ImageUsage: { TotalSize: 5 } },
  },
  "52 GET /containers/:id/json NetworkSettings: Bridge, HairpinMode, LinkLocalIPv6*, Secondary*Addresses, and the default bridge's addresses":
    {
      ...inspect,
      old: { NetworkSettings: { Bridge: "", HairpinMode: false, SecondaryIPAddresses: null, IPv6Gateway: "", ...address } },
      now: { NetworkSettings: { Bridge: GONE, IPAddress: GONE } },
    },
  "52 GET /containers/:id/json GraphDriver, Storage": {
    ...inspect,
    old: { GraphDriver: { Data: null, Name: "overlayfs" }, Storage: GONE },
    now: { GraphDriver: GONE, Storage: {} },
  },
  "52 GET /containers/:id/json Config.OnBuild": { ...inspect, old: { Config: { OnBuild: null } }, now: { Config: { OnBuild: GONE } } },
  "52 GET /containers/:id/json Config.MacAddress": {
    ...inspect,
    old: { Config: { MacAddress: address.MacAddress } },
    now: { Config: { MacAddress: GONE } },
  },
  "52 GET /containers/json Health": { ...ps, old: { Health: GONE }, now: { Health: { Status: "healthy" } } },
  "52 GET /networks/:id{.+} Status": { ask: "/networks/n", old: { Status: GONE }, now: { Status: {} } },
  "52 GET /networks Containers": { ...networks, old: { Containers: {} }, now: { Containers: GONE } },
  "52 GET /images/:name{.+}/json DockerVersion, Parent, Comment, Author": {
    ...image,
    old: { DockerVersion: "", Parent: "", Comment: "", Author: "" },
    now: { DockerVersion: GONE, Comment: GONE },
  },
  "53 GET /images/:name{.+}/json Identity": { ...image, old: { Identity: GONE }, now: { Identity: {} } },
  "52 GET /images/:name{.+}/json GraphDriver": { ...image, old: { GraphDriver: { Name: "overlayfs" } }, now: { GraphDriver: GONE } },
  "52 GET /images/:name{.+}/json Config: User, Env, Cmd, Volumes, WorkingDir, Entrypoint, OnBuild, Labels": {
    ...image,
    old: { Config: { Cmd: ["sh"], User: "", Entrypoint: null, Labels: null } },
    now: { Config: { Cmd: ["sh"], User: GONE, Labels: GONE } },
  },
  "51 GET /images/json Containers": { ...images, old: { Containers: -1 }, now: { Containers: 2 } },
  "50 GET /images/:name{.+}/json Config: Hostname, Domainname, Attach*, Tty, OpenStdin, StdinOnce, Image": {
    ...image,
    old: { Config: { Hostname: "", Tty: false, Image: "" } },
    now: { Config: { Hostname: GONE, Tty: GONE } },
  },
  "50 GET /info BridgeNfIptables, BridgeNfIp6tables": {
    ...info,
    old: { BridgeNfIptables: true, BridgeNfIp6tables: true },
    now: { BridgeNfIptables: GONE },
  },
  "49 GET /info FirewallBackend": { ...info, old: { FirewallBackend: GONE }, now: { FirewallBackend: {} } },
  "49 GET /info RegistryConfig.AllowNondistributableArtifacts*": {
    ...info,
    old: { RegistryConfig: { AllowNondistributableArtifactsCIDRs: null, AllowNondistributableArtifactsHostnames: null } },
    now: { RegistryConfig: { AllowNondistributableArtifactsCIDRs: GONE } },
  },
  "49 GET /info ContainerdCommit.Expected, RuncCommit.Expected, InitCommit.Expected": {
    ...info,
    old: { RuncCommit: { ID: "crun 1", Expected: "crun 1" } },
    now: { RuncCommit: { Expected: GONE } },
  },
  "48 GET /containers/:id/json ImageManifestDescriptor": {
    ...inspect,
    old: { ImageManifestDescriptor: GONE },
    now: { ImageManifestDescriptor: {} },
  },
  "48 GET /images/:name{.+}/json Descriptor": { ...image, old: { Descriptor: GONE }, now: { Descriptor: {} } },
  "48 GET /system/df Descriptor of images, ImageManifestDescriptor of containers": {
    ...usage,
    old: { Images: [{ Descriptor: GONE }] },
    now: { Images: [{ Descriptor: {} }] },
  },
  "46 GET /containers/json HostConfig.Annotations": {
    ...ps,
    old: { HostConfig: { Annotations: GONE } },
    now: { HostConfig: { Annotations: {} } },
  },
  "45 GET /containers/:id/json NetworkSettings.Networks: Aliases": {
    ...inspect,
    old: { NetworkSettings: { Networks: { own: { Aliases: ["a", ID.slice(0, 12), "host"] } } } },
    now: { NetworkSettings: { Networks: { own: { Aliases: ["a"] } } } },
  },
  "45 GET /images/:name{.+}/json Container, ContainerConfig": {
    ...image,
    old: { Container: "", ContainerConfig: { Cmd: null, Tty: false } },
    now: { Container: GONE, ContainerConfig: GONE },
  },
  "44 GET /images/:name{.+}/json VirtualSize": { ...image, old: { VirtualSize: 7 }, now: { VirtualSize: GONE } },
  "44 GET /system/df VirtualSize of images": {
    ...usage,
    old: { Images: [{ Size: 7, VirtualSize: 7 }] },
    now: { Images: [{ VirtualSize: GONE }] },
  },
  "44 GET /images/:name{.+}/json Created": { ...image, old: { Created: "0001-01-01T00:00:00Z" }, now: { Created: "" } },
  "43 GET /images/json RepoTags, RepoDigests": {
    ...images,
    old: { RepoTags: ["<none>:<none>"], RepoDigests: ["<none>@<none>"] },
    now: { RepoTags: [], RepoDigests: [] },
  },
  "42 GET /containers/:id/json HostConfig.KernelMemory, HostConfig.KernelMemoryTCP": {
    ...inspect,
    old: { HostConfig: { KernelMemory: 0, KernelMemoryTCP: 0 } },
    now: { HostConfig: { KernelMemory: GONE } },
  },
  "42 GET /info KernelMemory, KernelMemoryTCP": {
    ...info,
    old: { KernelMemory: false, KernelMemoryTCP: false },
    now: { KernelMemory: GONE },
  },
  "42 GET /system/df BuilderSize": { ...usage, old: { BuilderSize: 0 }, now: { BuilderSize: GONE } },
  "28 GET /networks Containers": { ...networks, old: { Containers: { c: {} } }, now: { Containers: {} } },
  "25 GET /info SecurityOptions": {
    ...info,
    old: { SecurityOptions: ["seccomp", "cgroupns"] },
    now: { SecurityOptions: ["name=seccomp,profile=builtin", "name=cgroupns"] },
  },
  "25 GET /info ExecutionDriver": { ...info, old: { ExecutionDriver: "<not supported>" }, now: { ExecutionDriver: GONE } },
};

/** Rows that have their effect in streams: their requests are read here, what comes of them in the suites. */
export const QUERIES: Record<string, { query: string; old: Record<string, string | undefined> }> = {
  "32 POST /images/create platform": { query: "platform=linux/arm64", old: { platform: undefined } },
  "41 GET /containers/:id/stats one-shot": { query: "one-shot=1", old: { "one-shot": undefined } },
  "42 GET /containers/:id/attach/ws stdin, stdout, stderr": { query: "stdout=1", old: { stdin: "1", stdout: "1", stderr: "1" } },
  "46 POST /images/:name{.+}/push platform": { query: "platform=linux/arm64", old: { platform: undefined } },
  "54 GET /images/json identity": { query: "identity=1", old: { identity: undefined } },
};
