import { LighterError } from "../base/errors.ts";
import { isIndex, type Descriptor, type Digest, type Index } from "../oci/image.ts";
import { readAtMost } from "./answers.ts";

const MOST_ANSWER = 4 << 20;

/**
 * What refers to a manifest, from the answer to `GET /v2/<name>/referrers/<digest>`; undefined where the registry does not offer that.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers
 */
export async function readReferrers(response: Response): Promise<Descriptor[] | undefined> {
  const type = (response.headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "";
  if (!response.ok || !isIndex(type)) {
    await response.body?.cancel().catch(() => undefined);
    return undefined;
  }
  const { data, cut } = await readAtMost(response, MOST_ANSWER);
  if (cut) throw new LighterError("invalid", `the registry's list of referrers is larger than ${MOST_ANSWER} bytes`);
  return entriesOf(data);
}

/** The entries of an index that lists referrers; none where it is no index. */
export function entriesOf(bytes: Uint8Array): Descriptor[] {
  let index: Partial<Index> | null;
  try {
    index = JSON.parse(new TextDecoder().decode(bytes)) as typeof index;
  } catch (cause) {
    throw new LighterError("invalid", "cannot read the registry's list of referrers: it is not JSON", { cause });
  }
  const entries: unknown[] = Array.isArray(index?.manifests) ? index.manifests : [];
  return entries.filter((entry): entry is Descriptor => /^sha256:[0-9a-f]{64}$/.test(String((entry as Descriptor | null)?.digest)));
}

/** The tag under which registries without the referrers API keep the list. */
export function referrersTag(digest: Digest): string {
  return digest.replace(":", "-");
}
