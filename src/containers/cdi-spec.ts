import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";

/** What a vendor's description changes in a container. https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md */
export interface ContainerEdits {
  env?: string[];
  deviceNodes?: {
    path: string;
    hostPath?: string;
    type?: string;
    major?: number;
    minor?: number;
    fileMode?: number;
    permissions?: string;
    uid?: number;
    gid?: number;
  }[];
  mounts?: { hostPath: string; containerPath: string; options?: string[]; type?: string }[];
  hooks?: { hookName: string; path: string; args?: string[]; env?: string[]; timeout?: number }[];
  additionalGids?: number[];
}

/** One file of a vendor: devices of one kind (`vendor.com/class`), and edits that all of them share. */
interface CdiSpec {
  kind: string;
  devices: { name: string; containerEdits?: ContainerEdits }[];
  containerEdits?: ContainerEdits;
}

/** The devices of all descriptions by their full name (`vendor.com/class=name`). */
export interface CdiDevices {
  names(): string[];
  /** The edits of devices in order, those of a description once. Names that nobody describes are in `missing`. */
  editsOf(names: readonly string[]): { edits: ContainerEdits[]; missing: string[] };
}

interface Described {
  spec: CdiSpec;
  priority: number;
  edits: ContainerEdits;
  /** Two files of the same directory describe it: nobody can say which one is meant. */
  ambiguous: boolean;
}

const log = logOf("containers");

/** Reads all descriptions of these directories; what stands in a later directory counts more. Files that make no sense are left out and logged. */
export async function readCdiDevices(directories: readonly string[]): Promise<CdiDevices> {
  const devices = new Map<string, Described>();
  for (const [priority, directory] of directories.entries())
    for (const path of await specFiles(directory)) {
      const spec = await readSpec(path);
      if (spec !== undefined) for (const device of spec.devices) describe(devices, spec, device, priority);
    }
  return {
    names: () => [...devices.keys()].sort(),
    editsOf: (names) => {
      const used = new Set<CdiSpec>();
      const edits: ContainerEdits[] = [];
      const missing: string[] = [];
      for (const name of names) {
        const found = devices.get(name);
        if (found === undefined || found.ambiguous) missing.push(name);
        else {
          if (!used.has(found.spec) && found.spec.containerEdits !== undefined) edits.push(found.spec.containerEdits);
          used.add(found.spec);
          edits.push(found.edits);
        }
      }
      return { edits, missing };
    },
  };
}

function describe(devices: Map<string, Described>, spec: CdiSpec, device: CdiSpec["devices"][number], priority: number): void {
  const name = `${spec.kind}=${device.name}`;
  const before = devices.get(name);
  devices.set(name, { spec, priority, edits: device.containerEdits ?? {}, ambiguous: before?.priority === priority });
}

async function specFiles(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => /\.(?:json|ya?ml)$/.test(name))
      .sort()
      .map((name) => join(directory, name));
  } catch {
    return [];
  }
}

async function readSpec(path: string): Promise<CdiSpec | undefined> {
  try {
    const text = await readFile(path, "utf8");
    const spec: unknown = path.endsWith(".json") ? JSON.parse(text) : Bun.YAML.parse(text);
    if (isSpec(spec)) return spec;
    throw new Error('a description has a "kind" like vendor.com/class and "devices" with names');
  } catch (error) {
    log.warn('cannot use the CDI description "{path}": {error}', { path, error: messageOf(error) });
    return undefined;
  }
}

function isSpec(value: unknown): value is CdiSpec {
  if (typeof value !== "object" || value === null) return false;
  const { kind, devices } = value as { kind?: unknown; devices?: unknown };
  return (
    typeof kind === "string" &&
    /^[a-zA-Z][\w.-]*\/[a-zA-Z][\w.-]*$/.test(kind) &&
    Array.isArray(devices) &&
    devices.every((device: { name?: unknown } | null) => typeof device?.name === "string")
  );
}
