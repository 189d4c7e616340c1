import { readManifestDocument } from "./manifest-document.ts";
import { putReferrer } from "./referrers.ts";
import type { RegistryContext } from "./routes.ts";
import { contentOf, manifestLinks } from "./rows.ts";

const SETTING = "registry.referrers";

/**
 * Notes, once, what the manifests that were pushed before there were rows of referrers refer to.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#enabling-the-referrers-api
 */
export async function noteOldReferrers({ state, content }: RegistryContext): Promise<void> {
  if (state.get("SELECT 1 FROM settings WHERE key = ?", SETTING) !== undefined) return;
  for (const link of manifestLinks(state)) {
    const stored = contentOf(link);
    if (content.blob(stored) === undefined) continue;
    const bytes = await content.readBlob(stored);
    const document = readManifestDocument(bytes, link.media_type);
    if (typeof document === "string") continue;
    state.write((tx) => putReferrer(tx, link.repository, link.digest, bytes.length, document), { durable: false });
  }
  state.write((tx) => void tx.run("INSERT OR REPLACE INTO settings (key, value_json) VALUES (?, '1')", SETTING), { durable: true });
}
