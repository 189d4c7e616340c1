import { expect, test } from "bun:test";
import { ROUTES } from "./routes.ts";
import { CHANGES, shapeFor } from "./versions.ts";

type Json = Record<string, unknown>;

const endpoint = { IPAddress: "172.17.0.2", IPPrefixLen: 16, Gateway: "172.17.0.1", MacAddress: "02:42:ac:11:00:02", EndpointID: "e" };
const container = (): Json => ({ Config: {}, HostConfig: { NetworkMode: "bridge" }, NetworkSettings: { Networks: { bridge: endpoint } } });
const image = (): Json => ({ Id: "sha256:1", Size: 7, RepoTags: [], RepoDigests: [], Config: { Cmd: ["sh"] } });

/** What a handler answers on the route of each row, and what the change makes of it for the last version below its border. */
const CASES: Record<string, { answer: () => unknown; expected: Json }> = {
  "52 NetworkSettings: Bridge, HairpinMode, LinkLocalIPv6*, Secondary*Addresses, and the default bridge's addresses": {
    answer: container,
    expected: {
      NetworkSettings: {
        Bridge: "",
        HairpinMode: false,
        LinkLocalIPv6Address: "",
        LinkLocalIPv6PrefixLen: 0,
        SecondaryIPAddresses: null,
        SecondaryIPv6Addresses: null,
        GlobalIPv6Address: "",
        GlobalIPv6PrefixLen: 0,
        IPv6Gateway: "",
        ...endpoint,
      },
    },
  },
  "44 Config.MacAddress (the container-wide address)": { answer: container, expected: { Config: { MacAddress: "02:42:ac:11:00:02" } } },
  "52 LayersSize, Images, Containers, Volumes, BuildCache instead of the sums by kind": {
    answer: () => ({ ImageUsage: { TotalSize: 5, Items: [{ Id: "i" }] }, VolumeUsage: { TotalSize: 0, Items: [] } }),
    expected: { LayersSize: 5, Images: [{ Id: "i" }], Containers: null, Volumes: [], BuildCache: null, BuilderSize: 0 },
  },
  "52 DockerVersion, Parent, Comment, Author: present though empty": {
    answer: image,
    expected: { DockerVersion: "", Parent: "", Comment: "", Author: "" },
  },
  "50 Config: fields of containers that images never use": {
    answer: image,
    expected: { Config: { Cmd: ["sh"], AttachStdin: false, OpenStdin: false, Hostname: "", Image: "" } },
  },
  "50 BridgeNfIptables, BridgeNfIp6tables": { answer: () => ({}), expected: { BridgeNfIptables: true, BridgeNfIp6tables: true } },
  "49 RegistryConfig.AllowNondistributableArtifacts*": {
    answer: () => ({ RegistryConfig: {} }),
    expected: { RegistryConfig: { AllowNondistributableArtifactsCIDRs: null, AllowNondistributableArtifactsHostnames: null } },
  },
  "45 Container, ContainerConfig (of the build's last step)": {
    answer: image,
    expected: { Container: "", ContainerConfig: { Cmd: ["sh"] } },
  },
  "44 VirtualSize of images": {
    answer: () => ({ ImageUsage: { Items: [{ Size: 7 }] } }),
    expected: { Images: [{ Size: 7, VirtualSize: 7 }] },
  },
  "44 VirtualSize": { answer: image, expected: { VirtualSize: 7 } },
  "44 RepoTags, RepoDigests: <none> for an image without names": {
    answer: () => [image()],
    expected: { RepoTags: ["<none>:<none>"], RepoDigests: ["<none>@<none>"] },
  },
  "42 ClusterStore, ClusterAdvertise, KernelMemory": {
    answer: () => ({}),
    expected: { ClusterStore: "", ClusterAdvertise: "", KernelMemory: false },
  },
};

test("every row names a route of the table and has a case here", () => {
  const routes = new Set(ROUTES.map(({ method, path }) => `${method} ${path}`));
  for (const change of CHANGES) {
    expect(routes.has(change.route)).toBe(true);
    expect(Object.keys(CASES)).toContain(`${change.below} ${change.field}`);
  }
});

for (const change of CHANGES) {
  test(`${change.route} below 1.${change.below}: ${change.field}`, () => {
    const { answer, expected } = CASES[`${change.below} ${change.field}`] as (typeof CASES)[string];
    const route = ROUTES.find(({ method, path }) => `${method} ${path}` === change.route) as (typeof ROUTES)[number];
    const listed = change.route.endsWith("/images/json");
    const shaped = (version: number): Json => {
      const value = answer();
      const whole = listed && !Array.isArray(value) ? [value] : value;
      shapeFor(version, route, whole);
      return (Array.isArray(whole) ? whole[0] : whole) as Json;
    };
    expect(shaped(change.below - 1)).toMatchObject(expected);
    expect(shaped(change.below)).not.toMatchObject(expected);
    expect(shaped(24)).toMatchObject(expected);
  });
}
