import { isIndex, type Index } from "../oci/image.ts";

/**
 * Which manifest of an index goes to a client that does not take indexes: its first for linux/amd64, as clients of the time before there were indexes
 * expect; undefined to send the index itself. https://github.com/opencontainers/distribution-spec/blob/main/content-negotiation.md
 */
export async function manifestInstead(accept: string | null, mediaType: string, read: () => Promise<Index>): Promise<string | undefined> {
  if (accept === null || !isIndex(mediaType)) return undefined;
  const taken = new Set(accept.split(",").map((each) => each.split(";")[0]?.trim() ?? ""));
  if (taken.has(mediaType) || taken.has("*/*") || taken.has("application/*")) return undefined;
  const fits = (await read()).manifests.filter((each) => taken.has(each.mediaType));
  return fits.find(({ platform }) => platform?.os === "linux" && platform.architecture === "amd64")?.digest;
}
