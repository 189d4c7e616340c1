import { MEDIA, type Descriptor, type Digest } from "../oci/image.ts";
import type { Reader, Tx } from "../state/state.ts";
import { answerJson, refuse } from "./answers.ts";
import type { ManifestDocument } from "./manifest-document.ts";
import { algorithmOf } from "./references.ts";
import type { Call, RegistryContext } from "./routes.ts";

/** How many descriptors go into one answer: the rest has a `Link`. */
const PAGE = 1000;

interface ReferrerRow {
  digest: Digest;
  descriptor_json: string;
}

/** GET of what refers to a manifest by its subject: an index, empty for what nothing refers to. */
export function getReferrers({ state }: RegistryContext, { url, repository, target }: Call): Response {
  if (algorithmOf(target) === undefined) return refuse("DIGEST_INVALID", target);
  const artifactType = url.searchParams.get("artifactType");
  const rows = referrersAfter(state, { repository, subject: target, artifactType, last: url.searchParams.get("last") ?? "" });
  const manifests = rows.slice(0, PAGE).map((row) => JSON.parse(row.descriptor_json) as object);
  const headers: Record<string, string> = { "content-type": MEDIA.ociIndex };
  if (artifactType !== null) headers["oci-filters-applied"] = "artifactType";
  if (rows.length > PAGE) headers["link"] = nextPage(url, rows[PAGE - 1]?.digest ?? "");
  return answerJson({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests }, headers);
}

/** Notes that a manifest refers to another one by its subject. */
export function putReferrer(tx: Tx, repository: string, digest: Digest, size: number, document: ManifestDocument): void {
  const { subject, mediaType, artifactType, annotations } = document;
  if (subject === undefined) return;
  const descriptor = { mediaType, digest, size, artifactType, annotations };
  tx.run(
    "INSERT OR REPLACE INTO registry_referrers (repository, subject, digest, artifact_type, descriptor_json) VALUES (?, ?, ?, ?, ?)",
    repository,
    subject,
    digest,
    artifactType ?? null,
    JSON.stringify(descriptor),
  );
}

/** Puts what an upstream says in place of what it said before. */
export function replaceReferrers(tx: Tx, repository: string, subject: string, descriptors: readonly Descriptor[]): void {
  tx.run("DELETE FROM registry_referrers WHERE repository = ? AND subject = ?", repository, subject);
  for (const descriptor of descriptors) {
    tx.run(
      "INSERT OR REPLACE INTO registry_referrers (repository, subject, digest, artifact_type, descriptor_json) VALUES (?, ?, ?, ?, ?)",
      repository,
      subject,
      descriptor.digest,
      descriptor.artifactType ?? null,
      JSON.stringify(descriptor),
    );
  }
}

function referrersAfter(
  state: Reader,
  { repository, subject, artifactType, last }: { repository: string; subject: string; artifactType: string | null; last: string },
): ReferrerRow[] {
  return state.all<ReferrerRow>(
    `SELECT digest, descriptor_json FROM registry_referrers
     WHERE repository = ? AND subject = ? AND digest > ? AND (? IS NULL OR artifact_type = ?) ORDER BY digest LIMIT ?`,
    repository,
    subject,
    last,
    artifactType,
    artifactType,
    PAGE + 1,
  );
}

function nextPage(url: URL, last: string): string {
  const query = new URLSearchParams(url.searchParams);
  query.set("last", last);
  return `<${url.pathname}?${query.toString()}>; rel="next"`;
}
