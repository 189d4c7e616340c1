import { fill, itemsOf, own, type Change, type Json } from "./version-change.ts";

const INSPECT = "GET /containers/:id/json";
const PS = "GET /containers/json";
const IMAGE = "GET /images/:name{.+}/json";
const IMAGES = "GET /images/json";
const INFO = "GET /info";
const USAGE = "GET /system/df";
const NETWORKS = ["GET /networks", "GET /networks/"];

/** The addresses that stood in `NetworkSettings` itself, those of the default bridge. */
const BRIDGE_ADDRESSES = {
  EndpointID: "",
  Gateway: "",
  GlobalIPv6Address: "",
  GlobalIPv6PrefixLen: 0,
  IPAddress: "",
  IPPrefixLen: 0,
  IPv6Gateway: "",
  MacAddress: "",
};

/** An image's configuration was a container's, with fields that images never set. */
const IMAGE_CONFIG = {
  Hostname: "",
  Domainname: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Image: "",
};

/** Fields of an image's configuration that were there though empty. */
const EMPTY_CONFIG = {
  User: "",
  Env: null,
  Cmd: null,
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  OnBuild: null,
  Labels: null,
};

/** How the layers of images and containers are kept, as it was said before 1.52. */
const GRAPH_DRIVER = { Data: null, Name: "overlayfs" };

/** The parts of `/system/df`: as sums by kind, and as lists before 1.52. */
const USAGES = { ImageUsage: "Images", ContainerUsage: "Containers", VolumeUsage: "Volumes", BuildCacheUsage: "BuildCache" } as const;

/** What old clients expect of answers; newest first. Events, logs and attach shape themselves, as they are streamed. */
export const ANSWER_CHANGES: readonly Change[] = [
  {
    below: 53,
    route: USAGE,
    field: "LayersSize, Images, Containers, Volumes, BuildCache",
    change: "the objects are listed beside the sums, unless `verbose` is in the query",
    answer(usage, { query, version }) {
      if (version === 52 && query.has("verbose")) return;
      usage["LayersSize"] = ((usage["ImageUsage"] ?? {}) as Json)["TotalSize"] ?? 0;
      for (const [sum, list] of Object.entries(USAGES)) {
        const items = ((usage[sum] ?? {}) as Json)["Items"];
        usage[list] = items ?? null;
        if (usage[sum] !== undefined) delete own(usage, sum)["Items"];
      }
    },
  },
  {
    below: 53,
    route: IMAGE,
    field: "Identity",
    change: "is not told",
    answer: (image) => void delete image["Identity"],
  },
  {
    below: 52,
    route: USAGE,
    field: "ImageUsage, ContainerUsage, VolumeUsage, BuildCacheUsage",
    change: "there are no sums by kind",
    answer(usage) {
      for (const sum of Object.keys(USAGES)) delete usage[sum];
    },
  },
  {
    below: 52,
    route: INSPECT,
    field: "NetworkSettings: Bridge, HairpinMode, LinkLocalIPv6*, Secondary*Addresses, and the default bridge's addresses",
    change: "stand beside Networks",
    answer(container) {
      const settings = own(container, "NetworkSettings");
      const bridge = ((settings["Networks"] ?? {}) as Record<string, Json>)["bridge"] ?? {};
      for (const [name, empty] of Object.entries(BRIDGE_ADDRESSES)) settings[name] ??= bridge[name] ?? empty;
      fill(settings, {
        Bridge: "",
        HairpinMode: false,
        LinkLocalIPv6Address: "",
        LinkLocalIPv6PrefixLen: 0,
        SecondaryIPAddresses: null,
        SecondaryIPv6Addresses: null,
      });
    },
  },
  {
    below: 52,
    route: INSPECT,
    field: "GraphDriver, Storage",
    change: "the driver of the root is told in GraphDriver",
    answer(container) {
      delete container["Storage"];
      container["GraphDriver"] ??= { ...GRAPH_DRIVER, Name: container["Driver"] ?? GRAPH_DRIVER.Name };
    },
  },
  {
    below: 52,
    route: INSPECT,
    field: "Config.OnBuild",
    change: "is there though empty",
    answer: (container) => fill(own(container, "Config"), { OnBuild: null }),
  },
  {
    below: 52,
    route: INSPECT,
    field: "Config.MacAddress",
    change: "the address that was asked for on the container's main network",
    answer(container, { engine }) {
      const mac = engine.containers.askedMacAddress(String(container["Id"]));
      if (mac !== undefined) own(container, "Config")["MacAddress"] = mac;
    },
  },
  {
    below: 52,
    route: PS,
    field: "Health",
    change: "is told in Status only",
    answer: (container) => void delete container["Health"],
  },
  {
    below: 52,
    route: "GET /networks/:id{.+}",
    field: "Status",
    change: "nothing is told of the use of addresses",
    answer: (network) => void delete network["Status"],
  },
  {
    below: 52,
    route: NETWORKS,
    field: "Containers",
    change: "is there, and empty",
    answer: (network) => fill(network, { Containers: {} }),
  },
  {
    below: 52,
    route: IMAGE,
    field: "DockerVersion, Parent, Comment, Author",
    change: "are there though empty",
    answer: (image) => fill(image, { DockerVersion: "", Parent: "", Comment: "", Author: "" }),
  },
  {
    below: 52,
    route: IMAGE,
    field: "GraphDriver",
    change: "is there",
    answer: (image) => fill(image, { GraphDriver: GRAPH_DRIVER }),
  },
  {
    below: 52,
    route: IMAGE,
    field: "Config: User, Env, Cmd, Volumes, WorkingDir, Entrypoint, OnBuild, Labels",
    change: "are there though empty",
    answer: (image) => fill(own(image, "Config"), EMPTY_CONFIG),
  },
  {
    below: 51,
    route: IMAGES,
    field: "Containers",
    change: "is not counted",
    answer: (image) => void (image["Containers"] = -1),
  },
  {
    below: 50,
    route: IMAGE,
    field: "Config: Hostname, Domainname, Attach*, Tty, OpenStdin, StdinOnce, Image",
    change: "are there, and empty",
    answer: (image) => fill(own(image, "Config"), IMAGE_CONFIG),
  },
  {
    below: 50,
    route: INFO,
    field: "BridgeNfIptables, BridgeNfIp6tables",
    change: "are there; true, as old clients warn of what else would be missing and is not",
    answer: (info) => fill(info, { BridgeNfIptables: true, BridgeNfIp6tables: true }),
  },
  {
    below: 49,
    route: INFO,
    field: "FirewallBackend",
    change: "is not told",
    answer: (info) => void delete info["FirewallBackend"],
  },
  {
    below: 49,
    route: INFO,
    field: "RegistryConfig.AllowNondistributableArtifacts*",
    change: "are there, and null",
    answer: (info) =>
      fill(own(info, "RegistryConfig"), { AllowNondistributableArtifactsCIDRs: null, AllowNondistributableArtifactsHostnames: null }),
  },
  {
    below: 49,
    route: INFO,
    field: "ContainerdCommit.Expected, RuncCommit.Expected, InitCommit.Expected",
    change: "are there, the same as ID",
    answer(info) {
      for (const name of ["ContainerdCommit", "RuncCommit", "InitCommit"]) {
        const commit = own(info, name);
        commit["Expected"] ??= commit["ID"] ?? "";
      }
    },
  },
  {
    below: 48,
    route: [INSPECT, PS],
    field: "ImageManifestDescriptor",
    change: "is not told",
    answer: (container) => void delete container["ImageManifestDescriptor"],
  },
  {
    below: 48,
    route: [IMAGE, IMAGES],
    field: "Descriptor",
    change: "is not told",
    answer: (image) => void delete image["Descriptor"],
  },
  {
    below: 48,
    route: USAGE,
    field: "Descriptor of images, ImageManifestDescriptor of containers",
    change: "is not told",
    answer(usage) {
      for (const image of itemsOf(usage["Images"])) delete image["Descriptor"];
      for (const container of itemsOf(usage["Containers"])) delete container["ImageManifestDescriptor"];
    },
  },
  {
    below: 46,
    route: PS,
    field: "HostConfig.Annotations",
    change: "are not told",
    answer: (container) => void delete own(container, "HostConfig")["Annotations"],
  },
  {
    below: 45,
    route: INSPECT,
    field: "NetworkSettings.Networks: Aliases",
    change: "hold the short id and the host name, too, on networks that are not built in",
    answer(container) {
      const { Hostname: host } = (container["Config"] ?? {}) as { Hostname?: string };
      const short = String(container["Id"]).slice(0, 12);
      const networks = own(own(container, "NetworkSettings"), "Networks");
      for (const name of Object.keys(networks)) {
        if (name === "bridge" || name === "host" || name === "none") continue;
        const endpoint = own(networks, name);
        const aliases = (endpoint["Aliases"] ?? []) as string[];
        endpoint["Aliases"] = [...new Set([...aliases, short, ...(host ? [host] : [])])];
      }
    },
  },
  {
    below: 45,
    route: IMAGE,
    field: "Container, ContainerConfig",
    change: "told of the build's last step; empty for what no such build made",
    answer: (image) => fill(image, { Container: "", ContainerConfig: { ...IMAGE_CONFIG, ...EMPTY_CONFIG } }),
  },
  {
    below: 44,
    route: [IMAGE, IMAGES],
    field: "VirtualSize",
    change: "is there, the same as Size",
    answer: addVirtualSize,
  },
  {
    below: 44,
    route: USAGE,
    field: "VirtualSize of images",
    change: "is there, the same as Size",
    answer: (usage) => itemsOf(usage["Images"]).forEach(addVirtualSize),
  },
  {
    below: 44,
    route: IMAGE,
    field: "Created",
    change: "is the year 1 where the image does not tell it",
    answer(image) {
      image["Created"] ||= "0001-01-01T00:00:00Z";
    },
  },
  {
    below: 43,
    route: IMAGES,
    field: "RepoTags, RepoDigests",
    change: "hold <none> for an image without names",
    answer(image) {
      if (itemsOf(image["RepoTags"]).length > 0 || itemsOf(image["RepoDigests"]).length > 0) return;
      image["RepoTags"] = ["<none>:<none>"];
      image["RepoDigests"] = ["<none>@<none>"];
    },
  },
  {
    below: 42,
    route: INSPECT,
    field: "HostConfig.KernelMemory, HostConfig.KernelMemoryTCP",
    change: "are there, and zero",
    answer: (container) => fill(own(container, "HostConfig"), { KernelMemory: 0, KernelMemoryTCP: 0 }),
  },
  {
    below: 42,
    route: INFO,
    field: "KernelMemory, KernelMemoryTCP",
    change: "are there; false, as no kernel of today limits it",
    answer: (info) => fill(info, { KernelMemory: false, KernelMemoryTCP: false }),
  },
  {
    below: 42,
    route: USAGE,
    field: "BuilderSize",
    change: "is there, and zero",
    answer: (usage) => fill(usage, { BuilderSize: 0 }),
  },
  {
    below: 28,
    route: NETWORKS,
    field: "Containers",
    change: "are listed with each network",
    answer(network, { engine }) {
      network["Containers"] = engine.networks.inspect(String(network["Id"]), { verbose: false }).Containers ?? {};
    },
  },
  {
    below: 25,
    route: INFO,
    field: "SecurityOptions",
    change: "are bare names",
    answer(info) {
      info["SecurityOptions"] = ((info["SecurityOptions"] ?? []) as string[]).map((option) => /name=([^,]*)/.exec(option)?.[1] ?? option);
    },
  },
  {
    below: 25,
    route: INFO,
    field: "ExecutionDriver",
    change: "is there, in Docker's words for none",
    answer: (info) => fill(info, { ExecutionDriver: "<not supported>" }),
  },
];

function addVirtualSize(image: Json): void {
  image["VirtualSize"] ??= image["Size"];
}
