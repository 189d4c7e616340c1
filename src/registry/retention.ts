import type { Nanoseconds } from "../base/clock.ts";
import type { RetentionRule } from "./settings.ts";

/** A tag with the times that rules look at (nanoseconds). */
export interface TagTimes {
  repository: string;
  tag: string;
  updated: Nanoseconds;
  pulled: Nanoseconds;
}

/** The tags that no rule holds. The first rule that covers a tag decides; a tag that none covers stays. */
export function expiredTags(tags: readonly TagTimes[], rules: readonly RetentionRule[], time: Nanoseconds): TagTimes[] {
  const covered = new Map<string, { rule: RetentionRule; tags: TagTimes[] }>();
  for (const tag of tags) {
    const index = rules.findIndex((rule) => matches(rule.repositories, tag.repository) && matches(rule.tags, tag.tag));
    const rule = rules[index];
    if (rule === undefined) continue;
    const key = `${index} ${tag.repository}`;
    const group = covered.get(key) ?? { rule, tags: [] };
    covered.set(key, group);
    group.tags.push(tag);
  }
  return [...covered.values()].flatMap((group) => expiredOf(group.rule, group.tags, time));
}

function expiredOf(rule: RetentionRule, tags: TagTimes[], time: Nanoseconds): TagTimes[] {
  const open = tags.filter(({ tag }) => !matches(rule.protect, tag));
  const newestFirst = open.toSorted((a, b) => (a.updated === b.updated ? (a.tag < b.tag ? 1 : -1) : a.updated < b.updated ? 1 : -1));
  const within = (when: Nanoseconds, span: number | undefined): boolean =>
    span !== undefined && when > time - BigInt(Math.floor(span)) * 1_000_000n;
  return newestFirst
    .slice(rule.keepNewest ?? 0)
    .filter(({ updated, pulled }) => !within(updated, rule.keepYounger) && !within(pulled, rule.keepPulled));
}

/** Whether one of the patterns fits a name; `*` stops at a slash, `**` does not. */
export function matches(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => pattern === "**" || new Bun.Glob(pattern).match(name));
}
