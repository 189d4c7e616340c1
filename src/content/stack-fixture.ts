/** For tests: random stacks of layers. */
import type { Given } from "./layer-fixture.ts";

/** Random whole numbers below a bound, which the start decides. */
export function randomizer(start: number): (below: number) => number {
  let state = start >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A tree as the layers so far make it: directories as maps, links to directories as texts, the rest as true. */
type Model = Map<string, Model | string | true>;

/** Random layers over few names, so that they meet: what one brings, the next changes, removes or replaces. */
export class StackMaker {
  readonly #random: (below: number) => number;
  readonly #root: Model = new Map();

  readonly #complete: boolean;

  /** @param options `complete`: every layer describes the directories that lead to its members, as builders write them, and goes through no link */
  constructor(random: (below: number) => number, { complete = false } = {}) {
    this.#random = random;
    this.#complete = complete;
  }

  layer(): Given[] {
    const entries: Given[] = [];
    const used = new Set<string>();
    const files: string[] = [];
    for (let count = 0; count < 8; count++) this.#change(entries, used, files);
    return entries;
  }

  #name(): string {
    return "abcde"[this.#random(5)] ?? "a";
  }

  #change(entries: Given[], used: Set<string>, files: string[]): void {
    const parts: string[] = [];
    let here = this.#root;
    for (let depth = this.#random(4); depth > 0; depth--) {
      const part = this.#name();
      const next = here.get(part);
      const link = typeof next === "string" ? this.#linked(next) : undefined;
      if (next === true || (typeof next === "string" && link === undefined)) break;
      const path = [...parts, part].join("/");
      // What this layer removes, it does not write below; what it links, it does not go through.
      if (used.has(`-${path}`) || (link !== undefined && (used.has(path) || this.#complete))) return;
      const fresh: Model = new Map();
      if (next === undefined) here.set(part, fresh);
      if ((this.#complete || this.#random(2) === 0) && link === undefined && !used.has(path)) this.#describe(entries, used, path);
      here = link ?? (next instanceof Map ? next : fresh);
      parts.push(part);
    }
    this.#leaf(entries, used, files, here, parts);
  }

  #describe(entries: Given[], used: Set<string>, path: string): void {
    used.add(path);
    entries.push({ path: `${path}/`, mode: 0o700 + this.#random(0o100), uid: this.#random(4) });
  }

  #linked(target: string): Model | undefined {
    const found = this.#root.get(target.slice(1));
    return found instanceof Map ? found : undefined;
  }

  #leaf(entries: Given[], used: Set<string>, files: string[], here: Model, parts: string[]): void {
    const name = this.#name();
    const path = [...parts, name].join("/");
    if (used.has(path) || used.has(`-${path}`)) return;
    // Below a link the same place has two names.
    const place = this.#place([...parts, name]);
    if (used.has(place)) return;
    const before = here.get(name);
    const kind = this.#random(10);
    if (kind < 2) {
      if (before === undefined) return;
      if (before instanceof Map && [...used].some((other) => other.startsWith(`${path}/`) || other.startsWith(`${place}/`))) return;
      entries.push({ path: [...parts, `.wh.${name}`].join("/") });
      here.delete(name);
      used.add(`-${path}`);
    } else if (
      kind < 3 &&
      before instanceof Map &&
      // What this layer has put there before, under another name too, would be hidden or not, by who unpacks it.
      ![...used].some((other) => other.startsWith(`${path}/`) || other.startsWith(`${place}/`))
    ) {
      this.#describe(entries, used, path);
      entries.push({ path: `${path}/.wh..wh..opq` });
      here.set(name, new Map());
      used.add(`-${path}`);
    } else if (before instanceof Map) {
      return;
    } else if (kind < 4 && parts.length === 0) {
      const target = `/${this.#name()}`;
      if (target === `/${name}`) return;
      entries.push({ path, type: "symlink", link: target, mode: 0o777 });
      here.set(name, target);
    } else if (kind < 5 && files.length > 0) {
      const link = files[this.#random(files.length)] ?? "";
      // As tar writes them: a link says of its file what the file says of itself.
      const { uid = 0, mode = 0o644, mtime = 0n } = entries.find((entry) => entry.path === link) ?? {};
      entries.push({ path, type: "link", link, ...(this.#complete ? { uid, mode, mtime } : {}) });
      here.set(name, true);
    } else {
      const data = `${path} ${this.#random(1000)}`;
      entries.push({
        path,
        data,
        uid: this.#random(70_000),
        mode: 0o600 + this.#random(0o200),
        mtime: BigInt(1e9 + this.#random(1e8)) * 10n ** 9n,
      });
      here.set(name, true);
      files.push(path);
    }
    used.add(path).add(place);
  }

  /** The place itself, whatever links lead there. */
  #place([top = "", ...rest]: readonly string[]): string {
    const link = rest.length === 0 ? undefined : this.#root.get(top);
    return `=${[typeof link === "string" ? link.slice(1) : top, ...rest].join("/")}`;
  }
}
