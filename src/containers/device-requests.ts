import { LighterError } from "../base/errors.ts";
import type { RuntimeSpec } from "../oci/spec.ts";
import type { DeviceRequest, HostConfig } from "../wire/engine-api.ts";
import { addHook, applyEdits, setVariables } from "./cdi-edits.ts";
import { type CdiDevices, readCdiDevices } from "./cdi-spec.ts";

/** NVIDIA's program, which a runtime calls before a container starts. https://github.com/NVIDIA/nvidia-container-toolkit */
const NVIDIA_HOOK = "nvidia-container-runtime-hook";
/** What it can give to a container; `gpu` and `nvidia` only choose the driver. */
const NVIDIA_CAPABILITIES = ["compute", "compat32", "graphics", "utility", "video", "display"];
/** Kinds of devices that `--gpus` may mean where there is no hook. */
const GPU_KINDS = ["nvidia.com/gpu", "amd.com/gpu"];

/** Changes a specification as the device requests of a container say (`--gpus`, `--device vendor.com/class=name`). */
export type DeviceEdit = (spec: RuntimeSpec) => void;

/**
 * Finds out what the device requests mean here. Throws `invalid` with Docker's texts for what nobody provides.
 * @param options `hook` is the path of NVIDIA's program where it is installed
 */
export async function deviceEditOf(
  host: HostConfig,
  options: { directories: readonly string[]; hook?: string | null },
): Promise<DeviceEdit | undefined> {
  const requests = host.DeviceRequests ?? [];
  if (requests.length === 0) return undefined;
  const hook = options.hook === undefined ? Bun.which(NVIDIA_HOOK) : options.hook;
  const devices = await readCdiDevices(options.directories);
  const edits = requests.map((request) =>
    request.Driver === "cdi" ? cdiEdit(devices, namesOf(request)) : gpuEdit(request, devices, hook),
  );
  return (spec) => edits.forEach((edit) => edit(spec));
}

function namesOf({ DeviceIDs, Count }: DeviceRequest): string[] {
  if (Count) throw new LighterError("invalid", "CDI device injection failed: a count of devices is not supported, name them");
  return DeviceIDs ?? [];
}

function cdiEdit(devices: CdiDevices, names: readonly string[]): DeviceEdit {
  const { edits, missing } = devices.editsOf(names);
  if (missing.length > 0) throw new LighterError("invalid", `CDI device injection failed: unresolvable CDI devices ${missing.join(", ")}`);
  return (spec) => applyEdits(spec, edits);
}

/** `--gpus`: NVIDIA's hook where it is installed, else the vendors' descriptions. */
function gpuEdit(request: DeviceRequest, devices: CdiDevices, hook: string | null): DeviceEdit {
  if (request.Count && request.DeviceIDs?.length)
    throw new LighterError("invalid", "cannot set both Count and DeviceIDs on device request");
  const wanted = capabilitySet(request);
  if (hook !== null && wanted !== undefined && (request.Driver ?? "").replace("nvidia", "") === "")
    return nvidiaEdit(request, wanted, hook);
  const names = wanted === undefined ? undefined : describedGpus(request, devices);
  if (names === undefined) throw noDriver(request);
  return cdiEdit(devices, names);
}

/** The first set of capabilities that a driver of GPUs has. */
function capabilitySet({ Capabilities, Driver }: DeviceRequest): string[] | undefined {
  const known = new Set(["gpu", "nvidia", "amd", ...NVIDIA_CAPABILITIES]);
  if (Driver && !["nvidia", "amd"].includes(Driver)) return undefined;
  if (Driver && !Capabilities?.length) return [];
  return (Capabilities ?? []).find((set) => set.length > 0 && set.every((one) => known.has(one)));
}

/** The names of the GPUs that are meant in the vendors' descriptions; undefined when there are none. */
function describedGpus({ Count = 0, DeviceIDs, Driver }: DeviceRequest, devices: CdiDevices): string[] | undefined {
  const kinds = GPU_KINDS.filter((kind) => !Driver || kind.startsWith(`${Driver}.`));
  const kind = kinds.find((one) => devices.names().some((name) => name.startsWith(`${one}=`)));
  if (kind === undefined) return undefined;
  if (DeviceIDs?.length) return DeviceIDs.map((id) => (id.includes("=") ? id : `${kind}=${id}`));
  if (Count < 0) return [`${kind}=all`];
  return [...Array(Count).keys()].map((index) => `${kind}=${index}`);
}

function nvidiaEdit({ Count = 0, DeviceIDs }: DeviceRequest, wanted: readonly string[], hook: string): DeviceEdit {
  const visible = DeviceIDs?.length ? DeviceIDs.join(",") : Count < 0 ? "all" : Count === 0 ? "void" : [...Array(Count).keys()].join(",");
  const capabilities = wanted.filter((one) => NVIDIA_CAPABILITIES.includes(one));
  const variables = [
    `NVIDIA_VISIBLE_DEVICES=${visible}`,
    ...(capabilities.length > 0 ? [`NVIDIA_DRIVER_CAPABILITIES=${capabilities.join(",")}`] : []),
  ];
  const env = Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ""}`);
  return (spec) => {
    setVariables(spec, variables);
    addHook(spec, { hookName: "prestart", path: hook, args: [NVIDIA_HOOK, "prestart"], env });
  };
}

function noDriver({ Driver = "", Capabilities }: DeviceRequest): LighterError {
  const sets = (Capabilities ?? []).map((set) => `[${set.join(" ")}]`).join(" ");
  return new LighterError("invalid", `could not select device driver "${Driver}" with capabilities: [${sets}]`);
}
