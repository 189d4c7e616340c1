import type { Content } from "../content/content.ts";
import type { State } from "../state/state.ts";
import { localStorage } from "./local-storage.ts";
import type { S3Settings } from "./settings.ts";
import type { Storage } from "./storage.ts";

/** The registry's storage: a bucket where one is set, else the content store. */
export async function openStorage({
  state,
  content,
  s3,
}: {
  state: State;
  content: Content;
  s3?: S3Settings | undefined;
}): Promise<Storage> {
  const local = localStorage(content, state);
  if (s3 === undefined) return local;
  const { openS3Storage } = await import("./s3-storage.ts");
  return await openS3Storage({ state, local, settings: s3 });
}
