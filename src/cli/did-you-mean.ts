import type { Flags } from "./flags.ts";

/** Words that are typed for others: what other programs call the same thing. */
const MEANT: Readonly<Record<string, readonly string[]>> = {
  delete: ["rm"],
  del: ["rm"],
  destroy: ["rm"],
  execute: ["exec"],
  ssh: ["exec"],
  shell: ["exec"],
  sh: ["exec"],
  up: ["compose up", "start"],
  down: ["compose down", "stop"],
  show: ["inspect"],
  get: ["inspect", "pull"],
  log: ["logs"],
  new: ["create"],
  containers: ["ps"],
  list: ["ps"],
  image: ["images"],
  status: ["ps", "info"],
  volumes: ["volume ls"],
  networks: ["network ls"],
  download: ["pull"],
  upload: ["push"],
  copy: ["cp"],
  mv: ["rename"],
  resume: ["unpause"],
  net: ["network"],
  vol: ["volume"],
};

const MOST = 3;

/** The words that somebody may have meant by one that does not exist, the nearest first; none when nothing is near. */
export function didYouMean(word: string, words: readonly string[]): string[] {
  const known = (MEANT[word] ?? []).filter((name) => words.includes(name.split(" ")[0] ?? "") || name.startsWith("compose "));
  if (known.length > 0) return known;
  const limit = word.length <= 3 ? 1 : 2;
  return words
    .map((name) => ({ name, far: name.startsWith(word) && word.length >= 3 ? 1 : distance(word, name) }))
    .filter(({ far }) => far <= limit)
    .sort((a, b) => a.far - b.far || (a.name < b.name ? -1 : 1))
    .slice(0, MOST)
    .map(({ name }) => name);
}

/** A line that names the flag that may have been meant by one that pflag's complaint says is unknown; empty when none is near. */
export function flagHint(complaint: string, flags: Flags): string {
  const [, name] = /^unknown flag: --(.+)$/.exec(complaint) ?? [];
  if (name === undefined) return "";
  const shown = Object.keys(flags).filter((key) => !flags[key]?.hidden);
  const near = didYouMean(name, shown).filter((key) => key in flags);
  return near.length === 0 ? "" : `\nDid you mean ${near.map((key) => `--${key}`).join(" or ")}?\n`;
}

/** How many letters have to be put in, left out, changed or swapped with their neighbour to make `b` of `a`. */
export function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, n) => n);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, (before[j - 2] ?? 0) + 1);
      next.push(least);
    }
    [before, row] = [row, next];
  }
  return row[b.length] ?? 0;
}
