import { LighterError } from "../base/errors.ts";
import { itemsOf, type Change, type Json } from "./version-change.ts";

const CREATE = "POST /containers/create";
const STOPS = ["POST /containers/:id/stop", "POST /containers/:id/restart"];
const IMAGE = "/images/:name{.+}";

/** What old clients mean by requests; oldest first, so that each finds what the one before left. */
export const REQUEST_CHANGES: readonly Change[] = [
  {
    below: 25,
    route: CREATE,
    field: "HostConfig.AutoRemove",
    change: "means nothing: the client removes the container",
    body: (body) => void delete hostOf(body)["AutoRemove"],
  },
  {
    below: 30,
    route: "POST /containers/:id/wait",
    field: "condition",
    change: "means nothing",
    query: (query) => query.drop("condition"),
  },
  {
    below: 32,
    route: "POST /images/create",
    field: "platform",
    change: "means nothing",
    query: (query) => query.drop("platform"),
  },
  {
    below: 40,
    route: CREATE,
    field: "HostConfig.IpcMode",
    change: "is shareable where nothing is said",
    body(body) {
      const host = (body["HostConfig"] ??= {}) as Json;
      host["IpcMode"] ||= "shareable";
    },
  },
  {
    below: 40,
    route: CREATE,
    field: "HostConfig.Mounts: BindOptions.NonRecursive",
    change: "means nothing",
    body: (body) => forMounts(body, (mount) => dropOption(mount, "BindOptions", "NonRecursive")),
  },
  {
    below: 40,
    route: "POST /containers/:id/update",
    field: "PidsLimit",
    change: "means nothing",
    body: (body) => void delete body["PidsLimit"],
  },
  {
    below: 41,
    route: CREATE,
    field: "platform",
    change: "means nothing",
    query: (query) => query.drop("platform"),
  },
  {
    below: 41,
    route: "GET /images/json",
    field: "filter",
    change: "is a name, as in the filter `reference`",
    query(query) {
      const name = query.text("filter");
      const filters = filtersOf(query.text("filters"));
      if (name !== undefined && filters !== undefined) query.set("filters", JSON.stringify({ ...filters, reference: [name] }));
    },
  },
  {
    below: 41,
    route: "GET /containers/:id/stats",
    field: "one-shot",
    change: "means nothing: two measurements are made",
    query: (query) => query.drop("one-shot"),
  },
  {
    below: 42,
    route: CREATE,
    field: "HostConfig.ConsoleSize",
    change: "means nothing",
    body: (body) => void delete hostOf(body)["ConsoleSize"],
  },
  {
    below: 42,
    route: ["POST /containers/:id/exec", "POST /exec/:id/start"],
    field: "ConsoleSize",
    change: "means nothing",
    body: (body) => void delete body["ConsoleSize"],
  },
  {
    below: 42,
    route: CREATE,
    field: "HostConfig.Mounts: BindOptions.CreateMountpoint",
    change: "means nothing",
    body: (body) => forMounts(body, (mount) => dropOption(mount, "BindOptions", "CreateMountpoint")),
  },
  {
    below: 42,
    route: CREATE,
    field: "HostConfig.Mounts: options of another type",
    change: "are no error",
    body: (body) =>
      forMounts(body, (mount) => {
        if (mount["Type"] !== "volume") delete mount["VolumeOptions"];
        if (mount["Type"] !== "tmpfs") delete mount["TmpfsOptions"];
      }),
  },
  {
    below: 42,
    route: STOPS,
    field: "signal",
    change: "means nothing",
    query: (query) => query.drop("signal"),
  },
  {
    below: 42,
    route: "GET /containers/:id/attach/ws",
    field: "stdin, stdout, stderr",
    change: "mean nothing: all are attached",
    query: (query) => ["stdin", "stdout", "stderr"].forEach((name) => query.set(name, "1")),
  },
  {
    below: 42,
    route: "GET /images/json",
    field: "shared-size",
    change: "means nothing",
    query: (query) => query.drop("shared-size"),
  },
  {
    below: 42,
    route: "GET /system/df",
    field: "type",
    change: "means nothing: all are told",
    query: (query) => query.drop("type"),
  },
  {
    below: 42,
    route: "POST /volumes/prune",
    field: "filters: all",
    change: "holds: volumes with names are removed, too",
    query(query) {
      const filters = filtersOf(query.text("filters"));
      if (filters !== undefined) query.set("filters", JSON.stringify({ ...filters, all: ["true"] }));
    },
  },
  {
    below: 43,
    route: CREATE,
    field: "HostConfig.Annotations",
    change: "mean nothing",
    body: (body) => void delete hostOf(body)["Annotations"],
  },
  {
    below: 44,
    route: CREATE,
    field: "Healthcheck.StartInterval",
    change: "means nothing",
    body: (body) => void delete ((body["Healthcheck"] ?? {}) as Json)["StartInterval"],
  },
  {
    below: 44,
    route: CREATE,
    field: "HostConfig.Mounts: BindOptions.ReadOnlyForceRecursive",
    change: "is refused",
    body: (body) =>
      forMounts(body, (mount) => {
        if (mount["Type"] === "bind" && optionsOf(mount, "BindOptions")["ReadOnlyForceRecursive"] === true)
          throw new LighterError("invalid", "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
      }),
  },
  {
    below: 44,
    route: CREATE,
    field: "HostConfig.Mounts: read-only binds",
    change: "are read-only at their top only",
    body: (body) =>
      forMounts(body, (mount) => {
        if (mount["Type"] === "bind" && mount["ReadOnly"] === true)
          mount["BindOptions"] = { ...optionsOf(mount, "BindOptions"), ReadOnlyNonRecursive: true };
      }),
  },
  {
    below: 44,
    route: CREATE,
    field: "NetworkingConfig.EndpointsConfig: more than one",
    change: "are refused",
    body(body) {
      const names = Object.keys(endpointsOf(body));
      if (names.length > 1)
        throw new LighterError("invalid", `Container cannot be created with multiple network endpoints: ${names.join(", ")}`);
    },
  },
  {
    below: 44,
    route: CREATE,
    field: "NetworkingConfig.EndpointsConfig: MacAddress",
    change: "means nothing: the address is the container's",
    body: (body) => forEndpoints(body, (endpoint) => void delete endpoint["MacAddress"]),
  },
  {
    below: 45,
    route: CREATE,
    field: "HostConfig.Mounts: VolumeOptions.Subpath",
    change: "is refused",
    body: (body) =>
      forMounts(body, (mount) => {
        if (optionsOf(mount, "VolumeOptions")["Subpath"])
          throw new LighterError("invalid", "VolumeOptions.Subpath needs API v1.45 or newer");
      }),
  },
  {
    below: 46,
    route: "POST /images/:name{.+}/push",
    field: "platform",
    change: "means nothing",
    query: (query) => query.drop("platform"),
  },
  {
    below: 47,
    route: "GET /images/json",
    field: "manifests",
    change: "means nothing",
    query: (query) => query.drop("manifests"),
  },
  {
    below: 48,
    route: CREATE,
    field: "HostConfig.Mounts: type image",
    change: "is refused",
    body: (body) =>
      forMounts(body, (mount) => {
        if (mount["Type"] === "image") throw new LighterError("invalid", 'Mount type "Image" needs API v1.48 or newer');
      }),
  },
  {
    below: 48,
    route: CREATE,
    field: "NetworkingConfig.EndpointsConfig: GwPriority",
    change: "means nothing",
    body: (body) => forEndpoints(body, (endpoint) => void delete endpoint["GwPriority"]),
  },
  {
    below: 48,
    route: "POST /networks/create",
    field: "EnableIPv4",
    change: "means nothing",
    body: (body) => void delete body["EnableIPv4"],
  },
  {
    below: 48,
    route: [`GET ${IMAGE}/history`, `GET ${IMAGE}/get`, "GET /images/get", "POST /images/load"],
    field: "platform",
    change: "means nothing",
    query: (query) => query.drop("platform"),
  },
  {
    below: 48,
    route: `GET ${IMAGE}/json`,
    field: "manifests",
    change: "means nothing",
    query: (query) => query.drop("manifests"),
  },
  {
    below: 49,
    route: `GET ${IMAGE}/json`,
    field: "platform",
    change: "means nothing",
    query: (query) => query.drop("platform"),
  },
  {
    below: 50,
    route: `DELETE ${IMAGE}`,
    field: "platforms",
    change: "mean nothing",
    query: (query) => query.drop("platforms"),
  },
  {
    below: 52,
    route: "GET /system/df",
    field: "verbose",
    change: "means nothing: every object is listed",
    query: (query) => query.set("verbose", "1"),
  },
  {
    below: 52,
    route: CREATE,
    field: "MacAddress",
    change: "is the container's address on its main network",
    body: moveMacAddress,
  },
  {
    below: 53,
    route: CREATE,
    field: "HostConfig.PortBindings: an empty list",
    change: "publishes the port on any port of the host",
    body(body, { version, warnings }) {
      const bindings = (hostOf(body)["PortBindings"] ?? {}) as Record<string, unknown[] | null>;
      const empty = Object.keys(bindings).filter((port) => (bindings[port] ?? []).length === 0);
      for (const port of empty) bindings[port] = [{}];
      if (version === 52 && empty.length > 0)
        warnings.push(
          `Following container port(s) have an empty list of port-bindings: ${empty.join(", ")}. Starting with API 1.53, such bindings will be discarded.`,
        );
    },
  },
  {
    below: 54,
    route: "GET /images/json",
    field: "identity",
    change: "means nothing",
    query: (query) => query.drop("identity"),
  },
];

/** Since 1.44 the address belongs to an endpoint; the container's own was still taken until 1.52, with a warning. */
function moveMacAddress(body: Json, { version, warnings }: { version: number; warnings: string[] }): void {
  const mac = body["MacAddress"];
  if (!mac) return;
  const mode = ((hostOf(body)["NetworkMode"] as string) || "default").replace(/^bridge$/, "default");
  if (version >= 44)
    warnings.push("The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.");
  if (mode === "host" || mode === "none" || mode.startsWith("container:")) {
    if (version >= 44) return;
    throw new LighterError("invalid", "conflicting options: mac-address and the network mode");
  }
  const endpoints = ((body["NetworkingConfig"] ??= {}) as Json as { EndpointsConfig?: Record<string, Json> }).EndpointsConfig ?? {};
  (body["NetworkingConfig"] as Json)["EndpointsConfig"] = endpoints;
  const name = mode === "default" && endpoints["bridge"] !== undefined ? "bridge" : mode;
  const endpoint = (endpoints[name] ??= {});
  if (endpoint["MacAddress"] && endpoint["MacAddress"] !== mac) {
    throw new LighterError(
      "invalid",
      "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
    );
  }
  endpoint["MacAddress"] = mac;
}

function hostOf(body: Json): Json {
  return (body["HostConfig"] ?? {}) as Json;
}

function endpointsOf(body: Json): Record<string, Json> {
  return (((body["NetworkingConfig"] ?? {}) as Json)["EndpointsConfig"] ?? {}) as Record<string, Json>;
}

function forEndpoints(body: Json, change: (endpoint: Json) => void): void {
  for (const endpoint of Object.values(endpointsOf(body))) change(endpoint);
}

function forMounts(body: Json, change: (mount: Json) => void): void {
  for (const mount of itemsOf(((body["HostConfig"] ?? {}) as Json)["Mounts"])) change(mount);
}

function optionsOf(mount: Json, kind: string): Json {
  return (mount[kind] ?? {}) as Json;
}

function dropOption(mount: Json, kind: string, name: string): void {
  delete optionsOf(mount, kind)[name];
}

/** The `filters` value as an object; undefined where it is none, which the handler tells. */
function filtersOf(text: string | undefined): Json | undefined {
  try {
    const value = JSON.parse(text ?? "{}") as unknown;
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}
