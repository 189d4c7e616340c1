import type { ApiVersion } from "./call.ts";
import type { Route } from "./router.ts";

type Json = Record<string, unknown>;

/** One difference between what handlers answer (the newest version) and what a client of an older version expects. */
export interface Change {
  /** The change applies to clients below this minor version. */
  below: ApiVersion;
  /** `METHOD path` as in the table of routes. */
  route: string;
  /** The field that differs, for people. */
  field: string;
  /** Changes one object of the answer in place: the answer itself, or each item of a list. What lies inside may be the engine's own: it is copied. */
  apply(item: Json): void;
}

/** The addresses that stood in `NetworkSettings` itself, those of the default bridge. */
const LEGACY_ENDPOINT = {
  EndpointID: "",
  Gateway: "",
  GlobalIPv6Address: "",
  GlobalIPv6PrefixLen: 0,
  IPAddress: "",
  IPPrefixLen: 0,
  IPv6Gateway: "",
  MacAddress: "",
} as const;

/** What old clients expect otherwise. A row a difference; newest first. Events shape themselves (`events.ts`), as they are streamed. */
export const CHANGES: readonly Change[] = [
  {
    below: 52,
    route: "GET /containers/:id/json",
    field: "NetworkSettings: Bridge, HairpinMode, LinkLocalIPv6*, Secondary*Addresses, and the default bridge's addresses",
    apply(container) {
      const settings = (container["NetworkSettings"] ??= {}) as Json;
      const bridge = ((settings["Networks"] ?? {}) as Record<string, Json>)["bridge"] ?? {};
      for (const [name, empty] of Object.entries(LEGACY_ENDPOINT)) settings[name] ??= bridge[name] ?? empty;
      settings["Bridge"] ??= "";
      settings["HairpinMode"] ??= false;
      settings["LinkLocalIPv6Address"] ??= "";
      settings["LinkLocalIPv6PrefixLen"] ??= 0;
      settings["SecondaryIPAddresses"] ??= null;
      settings["SecondaryIPv6Addresses"] ??= null;
    },
  },
  {
    below: 52,
    route: "GET /system/df",
    field: "LayersSize, Images, Containers, Volumes, BuildCache instead of the sums by kind",
    apply(usage) {
      const part = (name: string): Json => (usage[name] ?? {}) as Json;
      usage["LayersSize"] = part("ImageUsage")["TotalSize"] ?? 0;
      usage["Images"] = part("ImageUsage")["Items"] ?? null;
      usage["Containers"] = part("ContainerUsage")["Items"] ?? null;
      usage["Volumes"] = part("VolumeUsage")["Items"] ?? null;
      usage["BuildCache"] = part("BuildCacheUsage")["Items"] ?? null;
      usage["BuilderSize"] = 0;
      for (const name of ["ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage"]) delete usage[name];
    },
  },
  {
    below: 52,
    route: "GET /images/:name{.+}/json",
    field: "DockerVersion, Parent, Comment, Author: present though empty",
    apply(image) {
      for (const name of ["DockerVersion", "Parent", "Comment", "Author"]) image[name] ??= "";
    },
  },
  {
    below: 50,
    route: "GET /images/:name{.+}/json",
    field: "Config: fields of containers that images never use",
    apply(image) {
      if (image["Config"] === undefined || image["Config"] === null) return;
      const config = { ...(image["Config"] as Json) };
      image["Config"] = config;
      for (const name of ["AttachStderr", "AttachStdin", "AttachStdout", "OpenStdin", "StdinOnce", "Tty"]) config[name] ??= false;
      for (const name of ["Hostname", "Domainname", "Image"]) config[name] ??= "";
    },
  },
  {
    below: 50,
    route: "GET /info",
    field: "BridgeNfIptables, BridgeNfIp6tables",
    apply(info) {
      info["BridgeNfIptables"] ??= true;
      info["BridgeNfIp6tables"] ??= true;
    },
  },
  {
    below: 49,
    route: "GET /info",
    field: "RegistryConfig.AllowNondistributableArtifacts*",
    apply(info) {
      if (info["RegistryConfig"] === undefined || info["RegistryConfig"] === null) return;
      const registries = { ...(info["RegistryConfig"] as Json) };
      info["RegistryConfig"] = registries;
      registries["AllowNondistributableArtifactsCIDRs"] ??= null;
      registries["AllowNondistributableArtifactsHostnames"] ??= null;
    },
  },
  {
    below: 45,
    route: "GET /images/:name{.+}/json",
    field: "Container, ContainerConfig (of the build's last step)",
    apply(image) {
      image["Container"] ??= "";
      image["ContainerConfig"] ??= image["Config"] ?? {};
    },
  },
  {
    below: 44,
    route: "GET /containers/:id/json",
    field: "Config.MacAddress (the container-wide address)",
    apply(container) {
      const config = container["Config"] as Json | undefined;
      const mode = ((container["HostConfig"] ?? {}) as Json)["NetworkMode"];
      const networks = (((container["NetworkSettings"] ?? {}) as Json)["Networks"] ?? {}) as Record<string, Json>;
      const main = networks[mode === "default" ? "bridge" : String(mode)];
      if (config !== undefined) container["Config"] = { MacAddress: main?.["MacAddress"] ?? "", ...config };
    },
  },
  {
    below: 44,
    route: "GET /system/df",
    field: "VirtualSize of images",
    apply: (usage) => ((usage["Images"] ?? []) as Json[]).forEach(addVirtualSize),
  },
  {
    below: 44,
    route: "GET /images/:name{.+}/json",
    field: "VirtualSize",
    apply: addVirtualSize,
  },
  {
    below: 44,
    route: "GET /images/json",
    field: "VirtualSize",
    apply: addVirtualSize,
  },
  {
    below: 44,
    route: "GET /images/json",
    field: "RepoTags, RepoDigests: <none> for an image without names",
    apply(image) {
      if ((image["RepoTags"] as unknown[] | undefined)?.length === 0) image["RepoTags"] = ["<none>:<none>"];
      if ((image["RepoDigests"] as unknown[] | undefined)?.length === 0) image["RepoDigests"] = ["<none>@<none>"];
    },
  },
  {
    below: 42,
    route: "GET /info",
    field: "ClusterStore, ClusterAdvertise, KernelMemory",
    apply(info) {
      info["KernelMemory"] ??= false;
      info["ClusterStore"] ??= "";
      info["ClusterAdvertise"] ??= "";
    },
  },
];

function addVirtualSize(image: Json): void {
  image["VirtualSize"] ??= image["Size"];
}

/** Changes an answer in place to what a client of `version` expects. */
export function shapeFor(version: ApiVersion, route: Route, answer: unknown): void {
  const name = `${route.method} ${route.path}`;
  for (const change of CHANGES) {
    if (version >= change.below || change.route !== name) continue;
    for (const item of Array.isArray(answer) ? (answer as Json[]) : [answer as Json]) change.apply(item);
  }
}
