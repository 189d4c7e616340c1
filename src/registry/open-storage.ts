import { LighterError } from "../base/errors.ts";
import type { Content } from "../content/content.ts";
import type { State } from "../state/state.ts";
import { localStorage } from "./local-storage.ts";
import type { S3Settings } from "./settings.ts";
import type { Storage } from "./storage.ts";

/** The registry's storage: a bucket where one is set, else the content store. Throws `conflict` where the blobs that are known are somewhere else. */
export async function openStorage({
  state,
  content,
  s3,
}: {
  state: State;
  content: Content;
  s3?: S3Settings | undefined;
}): Promise<Storage> {
  checkPlace(state, s3 === undefined ? DISK : `bucket ${[s3.bucket, s3.prefix].filter((part) => part !== "").join("/")}`);
  const local = localStorage(content, state);
  if (s3 === undefined) return local;
  const { openS3Storage } = await import("./s3-storage.ts");
  return await openS3Storage({ state, local, settings: s3 });
}

const DISK = "the disk";

/** Rows without bytes would be answers without bodies: blobs stay where the first of them went. */
function checkPlace(state: State, place: string): void {
  const row = state.get<{ place: string }>("SELECT json_extract(value_json, '$') AS place FROM settings WHERE key = 'registry.place'");
  const before = row?.place ?? DISK;
  if (before === place) return;
  if (state.get("SELECT 1 FROM blobs LIMIT 1") !== undefined)
    throw new LighterError("conflict", `Cannot keep blobs on ${place}: those of this registry are on ${before}`);
  const sql = "INSERT OR REPLACE INTO settings (key, value_json) VALUES ('registry.place', ?)";
  state.write((tx) => void tx.run(sql, JSON.stringify(place)), { durable: true });
}
