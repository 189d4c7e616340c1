import type { Content } from "../content/content.ts";
import type { State } from "../state/state.ts";
import type { Storage } from "./storage.ts";

/** How the names of uploads and of downloads from upstreams begin. */
const OWN = ["upload:", "cache-"];

/** Blobs as files of the content store; in the daemon they are the engine's own. */
export function localStorage(content: Content, state: State): Storage {
  return {
    blob: (digest) => content.blob(digest),
    body: (digest, range) => {
      const file = Bun.file(content.blobPath(digest));
      return Promise.resolve({ body: range === undefined ? file : file.slice(range.start, range.end + 1) });
    },
    readBlob: (digest, limit) => content.readBlob(digest, limit),
    writeBlob: (data, mediaType, lease) => content.writeBlob(data, mediaType, lease),
    setEdges: (tx, parent, children) => content.setEdges(tx, parent, children),
    lease: (purpose) => content.lease(purpose),
    ingest: (ref) => content.ingest(ref),
    isIngesting: (ref) => state.get("SELECT 1 FROM ingests WHERE ref = ?", ref) !== undefined,
    collect: () => content.collect(),
    // In the daemon the store has partial pulls as well, which are not the registry's to judge.
    sweepUploads: (age) => content.sweepPartials(age, OWN),
    usage: () => content.usage(),
    close: () => Promise.resolve(),
  };
}
