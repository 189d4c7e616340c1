import { familiarName, familiarReference, parseReference } from "../base/reference.ts";
import { formatBytes, humanDuration } from "../base/units.ts";
import type { Digest } from "../oci/image.ts";
import type { GcItem } from "../wire/gc-report.ts";
import { levelOf, type GcPolicy } from "./gc-policy.ts";
import { matchPath } from "./glob.ts";

/** An image as the collection of unused images sees it. */
export interface Candidate {
  id: Digest;
  names: readonly { name: string; repository: string; tag: string | null; created: bigint }[];
  lastUsed: bigint;
  labels: Readonly<Record<string, string>>;
  /** Why it is needed now; undefined where nothing needs it. */
  needed: string | undefined;
}

/** An image, or some names of one that stays, that go. */
export interface Goner {
  image: Digest;
  /** Stored names that go. */
  names: readonly string[];
  /** The image goes with them. */
  whole: boolean;
  rule: GcItem["rule"];
  why: string;
}

/** What goes by the rules that do not ask for space, what may go for space (used longest ago first), and what stays and why. */
export interface GcPlan {
  goners: Goner[];
  spare: Goner[];
  kept: { image: Digest; why: string }[];
}

/** Applies a policy to images. `pins` are those of the policy and of the user. */
export function planGc(candidates: readonly Candidate[], policy: GcPolicy, pins: readonly string[], time: bigint): GcPlan {
  const plan: GcPlan = { goners: [], spare: [], kept: [] };
  const old = policy.keepTags === undefined ? new Map<string, string>() : beyondNewest(candidates, policy.keepTags);
  for (const one of candidates.toSorted((a, b) => (a.lastUsed < b.lastUsed ? -1 : a.lastUsed > b.lastUsed ? 1 : a.id < b.id ? -1 : 1))) {
    const why = keeps(one, policy, pins, time);
    if (why !== undefined) plan.kept.push({ image: one.id, why });
    else judge(one, policy, old, time, plan);
  }
  return plan;
}

function judge(one: Candidate, policy: GcPolicy, old: ReadonlyMap<string, string>, time: bigint, plan: GcPlan): void {
  const idle = time - one.lastUsed;
  const names = one.names.map(({ name }) => name);
  const all = { image: one.id, names, whole: true };
  const outdated = names.filter((name) => old.has(name));
  if (names.length === 0) plan.goners.push({ ...all, rule: "no-name", why: "it has no name, and no container uses it" });
  else if (policy.unusedFor !== undefined && idle >= BigInt(policy.unusedFor))
    plan.goners.push({ ...all, rule: "unused", why: `not used for ${human(idle)}` });
  else if (outdated.length === names.length) plan.goners.push({ ...all, rule: "tags", why: old.get(outdated[0] ?? "") ?? "" });
  else {
    if (outdated.length > 0)
      plan.goners.push({ image: one.id, names: outdated, whole: false, rule: "tags", why: old.get(outdated[0] ?? "") ?? "" });
    const rest = names.filter((name) => !old.has(name));
    plan.spare.push({ image: one.id, names: rest, whole: true, rule: "space", why: `last used ${human(idle)} ago` });
  }
}

function keeps(one: Candidate, policy: GcPolicy, pins: readonly string[], time: bigint): string | undefined {
  if (one.needed !== undefined) return one.needed;
  for (const { name } of one.names) {
    const pin = pins.find((pattern) => isPinned(pattern, name));
    if (pin !== undefined) return `pinned by "${pin}"`;
  }
  const label = policy.pinLabels.find((text) => hasLabel(one.labels, text));
  if (label !== undefined) return `pinned by the label "${label}"`;
  const idle = time - one.lastUsed;
  return idle < BigInt(policy.keepRecent) ? `last used ${human(idle)} ago, too recently to go` : undefined;
}

/** Whether a pattern means a stored name: its familiar spelling or the full one, with or without the tag. */
export function isPinned(pattern: string, name: string): boolean {
  const reference = parseReference(name);
  const bare = familiarName(reference);
  return [familiarReference(reference), name, bare, name.slice(0, name.length - familiarReference(reference).length + bare.length)].some(
    (spelling) => matchPath(pattern, spelling),
  );
}

function hasLabel(labels: Readonly<Record<string, string>>, text: string): boolean {
  const at = text.indexOf("=");
  return at < 0 ? Object.hasOwn(labels, text) : labels[text.slice(0, at)] === text.slice(at + 1);
}

/** Tags beyond the newest of their repository, and why they go. */
function beyondNewest(candidates: readonly Candidate[], keep: number): Map<string, string> {
  const tags = candidates.flatMap(({ names }) => names.filter(({ tag }) => tag !== null));
  const old = new Map<string, string>();
  for (const [repository, own] of Map.groupBy(tags, (each) => each.repository)) {
    const newest = own.toSorted((a, b) => (a.created > b.created ? -1 : a.created < b.created ? 1 : 0));
    const why = `not among the ${keep} newest tags of ${familiarName(parseReference(repository))}`;
    for (const { name } of newest.slice(keep)) old.set(name, why);
  }
  return old;
}

/** How full things are. */
export interface Fullness {
  /** Bytes of the data root's file system, and how many of them are taken. */
  total: number;
  used: number;
  /** Bytes that images take. */
  images: number;
}

/** How many bytes must go, and why; undefined where the high watermark is not reached. */
export function shortage({ high, low }: GcPolicy, fullness: Fullness): { bytes: number; why: string } | undefined {
  if (high === undefined) return undefined;
  const target = levelOf(low ?? high);
  if ("bytes" in high) {
    if (fullness.images <= high.bytes) return undefined;
    return { bytes: fullness.images - target, why: `images take ${formatBytes(fullness.images)}, more than ${formatBytes(high.bytes)}` };
  }
  const percent = (fullness.used / fullness.total) * 100;
  if (fullness.total === 0 || percent <= high.percent) return undefined;
  const bytes = Math.ceil(fullness.used - (fullness.total * target) / 100);
  return { bytes, why: `the disk is ${percent.toFixed(1)}% full, more than ${high.percent}%` };
}

function human(nanoseconds: bigint): string {
  return humanDuration(Number(nanoseconds / 1_000_000_000n)).toLowerCase();
}
