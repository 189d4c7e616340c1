import { LighterError } from "../base/errors.ts";
import { joinPieces, readTar, type TarPiece } from "../oci/tar-read.ts";
import { TAR_END, tarHeader, tarPadding } from "../oci/tar-write.ts";
import type { TarEntry } from "../oci/tar-entry.ts";
import type { Context, TlsFiles } from "./contexts.ts";

/** No context is larger than this: docker reads no more of an import, either. */
const MOST_BYTES = 10 << 20;

/** What `context export` writes: `meta.json` and the files of `tls/docker/`. */
export function packContext(context: Context, tls: TlsFiles): Uint8Array {
  const parts: Uint8Array[] = [];
  const add = (path: string, type: TarEntry["type"], mode: number, bytes = new Uint8Array()): void => {
    parts.push(tarHeader({ type, path, mode, size: bytes.length, ...PLAIN }), bytes, tarPadding(bytes.length));
  };
  add("meta.json", "file", 0o644, new TextEncoder().encode(JSON.stringify(context)));
  add("tls", "directory", 0o700);
  if (Object.keys(tls).length > 0) add("tls/docker", "directory", 0o700);
  for (const [name, bytes] of Object.entries(tls)) add(`tls/docker/${name}`, "file", 0o600, bytes as Uint8Array<ArrayBuffer>);
  return Buffer.concat([...parts, TAR_END]);
}

const PLAIN = { link: "", uid: 0, gid: 0, user: "", group: "", mtime: 0n, major: 0, minor: 0 };

/** Reads what `context export` of docker or ours wrote. Throws `invalid`. */
export async function unpackContext(archive: AsyncIterable<Uint8Array>): Promise<{ context: Context; tls: TlsFiles }> {
  let context: Context | undefined;
  const tls: TlsFiles = {};
  for (const [path, bytes] of await members(archive)) {
    const [, file] = /^tls\/docker\/([^/]+)$/.exec(path) ?? [];
    if (path === "meta.json") context = parseMeta(new TextDecoder().decode(bytes));
    else if (file !== undefined && /^\w[\w.-]*$/.test(file)) tls[file] = bytes;
  }
  if (context === undefined) throw new LighterError("invalid", "invalid context: no meta.json found");
  return { context, tls };
}

async function members(archive: AsyncIterable<Uint8Array>): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  let pieces: TarPiece[] = [];
  for await (const { entry, body, last } of readTar(bounded(archive))) {
    pieces.push(...body.map(({ offset, bytes }) => ({ offset, bytes: bytes.slice() })));
    if (!last) continue;
    if (entry.type === "file" && entry.size <= MOST_BYTES) found.set(entry.path.replace(/^\.\//, ""), joinPieces(pieces, entry.size));
    pieces = [];
  }
  return found;
}

async function* bounded(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let total = 0;
  for await (const bytes of archive) {
    total += bytes.length;
    if (total > MOST_BYTES) throw new LighterError("invalid", `invalid context: it is larger than ${MOST_BYTES >> 20} MiB`);
    yield bytes;
  }
}

function parseMeta(text: string): Context {
  let parsed: Partial<Context> | null;
  try {
    parsed = JSON.parse(text) as Partial<Context> | null;
  } catch (error) {
    throw new LighterError("invalid", "invalid context: its meta.json is not JSON", { cause: error });
  }
  if (typeof parsed !== "object" || parsed === null) throw new LighterError("invalid", "invalid context: its meta.json is no object");
  return { ...parsed, Name: parsed.Name ?? "", Metadata: parsed.Metadata ?? {}, Endpoints: parsed.Endpoints ?? {} };
}
