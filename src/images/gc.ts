import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { now, toRfc3339Nano } from "../base/clock.ts";
import { familiarReference, parseReference } from "../base/reference.ts";
import type { Content } from "../content/content.ts";
import { digestOf } from "../oci/digest.ts";
import type { Digest } from "../oci/image.ts";
import type { Reader } from "../state/state.ts";
import type { GcReport } from "../wire/gc-report.ts";
import type { DescribeContext } from "./describe.ts";
import type { GcPolicy } from "./gc-policy.ts";
import { isPinned, planGc, shortage, type Candidate, type Fullness, type Goner } from "./gc-plan.ts";
import { configOf } from "./list.ts";
import { pinsOf } from "./pins.ts";
import { drop, untag, type RemoveContext } from "./remove.ts";
import { allImages, imageById, namesOf, type ImageRow } from "./rows.ts";

/** What collecting unused images needs. */
export interface GcContext extends DescribeContext, RemoveContext {
  /** Removes content that nothing reaches. */
  collect(): Promise<{ bytes: number }>;
}

/** Images between two turns of the event loop, and between two collections of their content: one of everything would hold up the others for too long. */
const AT_ONCE = 5;
const PER_COLLECTION = 25;

/**
 * Removes images that nothing needs, by a policy; never what a container, a pin or a running transfer needs, as it is at the moment of the removal.
 * With `dryRun` says what would go.
 */
export async function collectImages(context: GcContext, policy: GcPolicy, { dryRun }: { dryRun: boolean }): Promise<GcReport> {
  const { state, content } = context;
  const fullness = await measure(context);
  const candidates = await candidatesOf(context);
  const { goners, spare, kept } = planGc(candidates, policy, [...policy.pins, ...pinsOf(state)], now());
  const order = [...goners, ...spare];
  const whole = order.filter((each) => each.whole);
  const { before, each } = await content.freed(whole.map(({ image }) => image));
  const bytesOf = new Map(whole.map(({ image }, index) => [image, each[index] ?? 0]));
  const lack = shortage(policy, fullness);
  const chosen = choose(goners, spare, bytesOf, before, lack);
  const lastUsed = new Map(candidates.map((one) => [one.id, one.lastUsed]));
  const labels = new Map(candidates.map((one) => [one.id, one.labels]));
  const gone = dryRun ? chosen : await removeAll(context, chosen, { lastUsed, labels, pins: policy.pins });
  const planned = gone.reduce((sum, { image, whole: all }) => sum + (all ? (bytesOf.get(image) ?? 0) : 0), before);
  const used = (image: Digest): string => toRfc3339Nano(lastUsed.get(image) ?? 0n);
  const namesOfOne = new Map(candidates.map(({ id, names }) => [id, names.map(({ name }) => familiar(name))]));
  const items = gone.map((one) => {
    const bytes = one.whole ? (bytesOf.get(one.image) ?? 0) : 0;
    return { ...one, names: one.names.map(familiar), bytes, lastUsed: used(one.image) };
  });
  const going = new Set(gone.filter(({ whole: all }) => all).map(({ image }) => image));
  const stays = [...kept, ...spare.map(({ image, why }) => ({ image, why }))].filter(({ image }) => !going.has(image));
  const report: GcReport = {
    items,
    kept: stays.map(({ image, why }) => ({ image, why, names: namesOfOne.get(image) ?? [], lastUsed: used(image) })),
    freed: planned,
    fullness,
    dryRun,
    ...(lack === undefined ? {} : { shortage: lack }),
  };
  if (dryRun) return report;
  // Uploads to the registry are the registry's to judge.
  await content.sweepPartials(policy.partialsFor / 1e6, ["sha256:"]);
  await context.collect();
  const after = imageBytes(content);
  return { ...report, freed: Math.max(0, fullness.images - after) };
}

/** The items that no space is asked for, and of the others as many as it takes. */
function choose(
  goners: Goner[],
  spare: Goner[],
  bytesOf: ReadonlyMap<Digest, number>,
  before: number,
  lack: { bytes: number; why: string } | undefined,
): Goner[] {
  const sizeOf = ({ image, whole }: Goner): number => (whole ? (bytesOf.get(image) ?? 0) : 0);
  let freed = goners.reduce((sum, one) => sum + sizeOf(one), before);
  const chosen = [...goners];
  if (lack === undefined) return chosen;
  for (const one of spare) {
    if (freed >= lack.bytes) break;
    freed += sizeOf(one);
    chosen.push({ ...one, why: `${lack.why}; ${one.why}` });
  }
  return chosen;
}

/** How images were judged: when each was used, and the policy's pins. */
interface Judged {
  lastUsed: ReadonlyMap<Digest, bigint>;
  labels: ReadonlyMap<Digest, Record<string, string>>;
  pins: readonly string[];
}

async function removeAll(context: GcContext, chosen: readonly Goner[], judged: Judged): Promise<Goner[]> {
  const gone: Goner[] = [];
  for (const [index, one] of chosen.entries()) {
    if (removeOne(context, one, judged)) gone.push(one);
    if (index % PER_COLLECTION === PER_COLLECTION - 1) await context.collect();
    else if (index % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  return gone;
}

/** In one transaction: whether it is still as it was when it was judged, and then its end. */
function removeOne({ state, users, changed }: GcContext, one: Goner, judged: Judged): boolean {
  return state.write(
    (tx) => {
      const image = imageById(tx, one.image);
      if (image === undefined || BigInt(image.last_used) !== judged.lastUsed.get(one.image)) return false;
      if (users(one.image).length > 0 || leaseOf(tx, one.image) !== undefined) return false;
      const rows = namesOf(tx, one.image);
      const pins = [...judged.pins, ...pinsOf(tx)];
      if (rows.some(({ name }) => pins.some((pattern) => isPinned(pattern, name)))) return false;
      const going = rows.filter(({ name }) => one.names.includes(name));
      // A name that came meanwhile is a use.
      if (one.whole && going.length < rows.length) return false;
      tx.afterCommit(changed);
      const Labels = judged.labels.get(one.image) ?? {};
      for (const row of going) untag(tx, one.image, row, { config: { Labels } });
      if (one.whole) drop(tx, one.image);
      return true;
    },
    { durable: true },
  );
}

async function candidatesOf(context: GcContext): Promise<Candidate[]> {
  const candidates: Candidate[] = [];
  for (const [index, image] of allImages(context.state).entries()) {
    candidates.push(await candidate(context, image));
    if (index % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  return candidates;
}

async function candidate(context: GcContext, image: ImageRow): Promise<Candidate> {
  const { state, users } = context;
  const user = users(image.id)[0];
  const purpose = leaseOf(state, image.id);
  const config = await configOf(context, image).catch(() => undefined);
  return {
    id: image.id,
    names: namesOf(state, image.id).map((row) => ({ ...row, created: BigInt(row.created) })),
    lastUsed: BigInt(image.last_used),
    labels: config?.config?.Labels ?? {},
    needed: user === undefined ? (purpose === undefined ? undefined : `in use by: ${purpose}`) : `used by the container ${user.name}`,
  };
}

/** What is being done with an image or a platform of it: a pull, push, build. */
function leaseOf(state: Reader, image: Digest): string | undefined {
  const sql = `SELECT purpose FROM lease_items JOIN leases ON leases.id = lease_items.lease
    WHERE lease_items.kind = 'blob' AND (key = ?1 OR key IN (SELECT manifest FROM image_manifests WHERE image = ?1)) LIMIT 1`;
  return state.get<{ purpose: string }>(sql, image)?.purpose;
}

async function measure({ content }: GcContext): Promise<Fullness> {
  const { blocks, bavail, bfree, bsize } = await statfs(dirname(content.blobPath(digestOf(""))));
  const used = (blocks - bfree) * bsize;
  // As df counts: what is reserved for root is neither used nor to be had.
  return { total: used + bavail * bsize, used, images: imageBytes(content) };
}

function imageBytes(content: Content): number {
  const { blobs, layers, partial } = content.usage();
  return blobs + layers + partial;
}

function familiar(name: string): string {
  return familiarReference(parseReference(name));
}
