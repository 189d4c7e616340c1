import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { formatReference, parseReference, type Reference } from "../base/reference.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA, type Descriptor, type Manifest } from "../oci/image.ts";

/** A manifest in a local list, as docker's client keeps it (its fields and their order are docker's, so that either program reads the other's lists). */
export interface ListedManifest {
  Ref: string;
  Descriptor: Descriptor;
  /** base64 of the manifest's bytes. */
  Raw?: string;
  SchemaV2Manifest?: Manifest;
  OCIManifest?: Manifest;
}

/** A manifest of a registry as an entry of lists. */
export function listed(reference: Reference, descriptor: Descriptor, bytes: Uint8Array): ListedManifest {
  const manifest = JSON.parse(new TextDecoder().decode(bytes)) as Manifest;
  const entry = { Ref: formatReference(reference), Descriptor: descriptor, Raw: Buffer.from(bytes).toString("base64") };
  return descriptor.mediaType === MEDIA.ociManifest ? { ...entry, OCIManifest: manifest } : { ...entry, SchemaV2Manifest: manifest };
}

/** The bytes of a listed manifest. Throws `invalid` for an entry that does not hold what its digest says. */
export function bytesOf(entry: ListedManifest): Uint8Array {
  const bytes = Buffer.from(entry.Raw ?? "", "base64");
  if (digestOf(bytes) === entry.Descriptor.digest) return bytes;
  throw new LighterError("invalid", `${entry.Ref} has no payload`);
}

/**
 * The manifest lists that are made on this machine: a folder a list, a file a manifest, under docker's configuration.
 */
export class ManifestStore {
  readonly #root: string;

  /** @param folder docker's client configuration */
  constructor(folder: string) {
    this.#root = join(folder, "manifests");
  }

  /** One manifest of a list; undefined when it is not in it. */
  async get(list: Reference, manifest: Reference): Promise<ListedManifest | undefined> {
    return read(join(this.#root, nameOf(list), nameOf(manifest)));
  }

  /** The manifests of a list in order of their names; undefined when there is no such list. */
  async list(list: Reference): Promise<ListedManifest[] | undefined> {
    const folder = join(this.#root, nameOf(list));
    const names = await readdir(folder).catch(absentAs);
    if (names === undefined) return undefined;
    const found = await Promise.all(names.toSorted().map((name) => read(join(folder, name))));
    return found.filter((entry) => entry !== undefined);
  }

  /** Puts a manifest into a list, which is made by that. */
  async save(list: Reference, manifest: Reference, entry: ListedManifest): Promise<void> {
    const folder = join(this.#root, nameOf(list));
    await mkdir(folder, { recursive: true });
    const draft = join(this.#root, `.${nameOf(list)}.${process.pid}`);
    await writeFile(draft, JSON.stringify(entry));
    await rename(draft, join(folder, nameOf(manifest)));
  }

  async remove(list: Reference): Promise<void> {
    await rm(join(this.#root, nameOf(list)), { recursive: true, force: true });
  }
}

/** A name as manifest commands take it: with neither tag nor digest, `latest` is meant. Throws `invalid` with Docker's text. */
export function manifestReference(text: string): Reference {
  if (/^[0-9a-f]{64}$/.test(text))
    throw new LighterError("invalid", `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  return parseReference(text);
}

/** Docker's spelling of a name as a file's. */
function nameOf(reference: Reference): string {
  return formatReference(reference).replaceAll(":", "-").replaceAll("/", "_");
}

async function read(path: string): Promise<ListedManifest | undefined> {
  const text = await readFile(path, "utf8").catch(absentAs);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as ListedManifest;
  } catch (cause) {
    throw new LighterError("invalid", `Cannot read the manifest "${path}": it is not JSON`, { cause });
  }
}

function absentAs(error: unknown): undefined {
  if ((error as { code?: unknown }).code === "ENOENT") return undefined;
  throw error;
}
