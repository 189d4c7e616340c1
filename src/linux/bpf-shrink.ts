import {
  AND,
  ARCHITECTURE_AT,
  AT_LEAST,
  COMPARE,
  EQUAL,
  type Instruction,
  JUMP,
  LOAD,
  NUMBER_AT,
  RETURN,
  decode,
  encode,
  interpret,
} from "./bpf-filter.ts";

/** What a filter does with a call whose number and architecture are known: answers, or looks at an argument first. */
type Verdict = number | { load: number; mask: number | undefined; code: number; k: number; yes: Verdict; no: Verdict };

/** All numbers from `from` up to the next one's get the same verdict. */
interface Range {
  from: number;
  verdict: Verdict;
}

/** A comparison reaches this far. */
const REACH = 255;
/** Ranges that one group of comparisons tells apart, with its answers behind it, all within reach. */
const GROUP = 64;

/**
 * The same filter in fewer instructions: what libseccomp's program answers is worked out for every range of numbers, and ranges are then
 * looked up by halving. Docker's profile shrinks to a quarter; it is parsed, copied and compiled at each start of a container.
 * Both are then run and compared. Returns the program itself when it holds anything that is not understood.
 */
export function shrinkFilter(program: Uint8Array): Uint8Array {
  try {
    const source = decode(program);
    const architectures = constantsOf(source, ARCHITECTURE_AT);
    const known = [...architectures].map((architecture) => ({ architecture, ranges: rangesOf(source, architecture) }));
    let unused = 1;
    while (architectures.has(unused)) unused++;
    const other = rangesOf(source, unused);
    const shrunk = lookUpArchitecture(known, other);
    const calls = [...known, { architecture: unused, ranges: other }];
    return shrunk.length < source.length && calls.every((call) => agree(source, shrunk, call)) ? encode(shrunk) : program;
  } catch (error) {
    if (error instanceof RangeError) return program;
    throw error;
  }
}

/** Whether two programs answer alike at every border of the ranges, with the arguments that make a difference. */
function agree(one: Instruction[], two: Instruction[], { architecture, ranges }: { architecture: number; ranges: Range[] }): boolean {
  const constants = new Set(one.filter(({ code }) => code in COMPARE || code === AND).map(({ k }) => k));
  const values = [0, 1, 0xffffffff, ...constants];
  const numbers = ranges.flatMap(({ from }) => (from === 0 ? [0] : [from - 1, from]));
  return numbers.every((number) => {
    const data = (low: number, high: number) => (offset: number) =>
      offset === NUMBER_AT ? number : offset === ARCHITECTURE_AT ? architecture : offset % 8 === 0 ? low : high;
    const same = (low: number, high: number): boolean => interpret(one, data(low, high)) === interpret(two, data(low, high));
    return same(0, 0) && (isPlain(ranges, number) || values.every((low) => same(low, 0) && same(low, 1)));
  });
}

/** Whether the arguments make no difference to this number. */
function isPlain(ranges: readonly Range[], number: number): boolean {
  return typeof ranges.findLast(({ from }) => from <= number)?.verdict === "number";
}

/** The constants that the word at `offset` is compared with. A program that computes with it is beyond us. */
function constantsOf(source: readonly Instruction[], offset: number): Set<number> {
  const found = new Set<number>();
  const seen = new Set<string>();
  const walk = (at: number, loaded: number): void => {
    for (;;) {
      if (seen.has(`${at} ${loaded}`)) return;
      seen.add(`${at} ${loaded}`);
      const instruction = source[at];
      if (!instruction) throw new RangeError("the program runs past its end");
      const { code, jt, jf, k } = instruction;
      at++;
      if (code === RETURN) return;
      if (code === LOAD) loaded = k;
      else if (code === JUMP) at += k;
      else if (code === AND) {
        if (loaded === NUMBER_AT || loaded === ARCHITECTURE_AT) throw new RangeError("computes with the number");
      } else if (code in COMPARE) {
        if (loaded === offset) found.add(k);
        walk(at + jt, loaded);
        at += jf;
      } else throw new RangeError(`unknown instruction ${code}`);
    }
  };
  walk(0, -1);
  return found;
}

/** The verdicts by number for one architecture, neighbours with the same one joined. */
function rangesOf(source: readonly Instruction[], architecture: number): Range[] {
  const borders = new Set([0]);
  for (const k of constantsOf(source, NUMBER_AT)) {
    borders.add(k);
    if (k < 0xffffffff) borders.add(k + 1);
  }
  const ranges: Range[] = [];
  let last = "";
  for (const from of [...borders].sort((a, b) => a - b)) {
    const verdict = verdictOf(source, { number: from, architecture });
    const text = JSON.stringify(verdict);
    if (text !== last) ranges.push({ from, verdict });
    last = text;
  }
  return ranges;
}

function verdictOf(source: readonly Instruction[], call: { number: number; architecture: number }): Verdict {
  const run = (start: number, offset: number, masked: number | undefined): Verdict => {
    let at = start;
    let load = offset;
    let mask = masked;
    for (;;) {
      const { code, jt, jf, k } = source[at] as Instruction;
      at++;
      if (code === RETURN) return k;
      if (code === JUMP) at += k;
      else if (code === LOAD) [load, mask] = [k, undefined];
      else if (code === AND) mask = ((mask ?? 0xffffffff) & k) >>> 0;
      else if (load === NUMBER_AT || load === ARCHITECTURE_AT) {
        const value = load === NUMBER_AT ? call.number : call.architecture;
        at += COMPARE[code]?.(value, k) === true ? jt : jf;
      } else {
        const yes = run(at + jt, load, mask);
        const no = run(at + jf, load, mask);
        return JSON.stringify(yes) === JSON.stringify(no) ? yes : { load, mask, code, k, yes, no };
      }
    }
  };
  return run(0, -1, undefined);
}

function lookUpArchitecture(known: { architecture: number; ranges: Range[] }[], other: Range[]): Instruction[] {
  let rest = lookUp(other);
  for (const { architecture, ranges } of known.toReversed()) {
    const own = lookUp(ranges);
    rest = [...branch(EQUAL, architecture, own, rest)];
  }
  return [{ code: LOAD, jt: 0, jf: 0, k: ARCHITECTURE_AT }, ...rest];
}

/** A comparison with both ways behind it, `yes` first; over a long jump where it does not reach. */
function branch(code: number, k: number, yes: Instruction[], no: Instruction[]): Instruction[] {
  if (yes.length <= REACH) return [{ code, jt: 0, jf: yes.length, k }, ...yes, ...no];
  return [{ code, jt: 1, jf: 0, k }, { code: JUMP, jt: 0, jf: 0, k: yes.length }, ...yes, ...no];
}

function lookUp(ranges: readonly Range[]): Instruction[] {
  if (ranges.length === 1) return answer((ranges[0] as Range).verdict);
  return [{ code: LOAD, jt: 0, jf: 0, k: NUMBER_AT }, ...halve(ranges)];
}

/** The number is loaded: finds its range by halving. Small groups share their answers. */
function halve(ranges: readonly Range[]): Instruction[] {
  if (ranges.length <= GROUP) {
    const group = grouped(ranges);
    if (group) return group;
  }
  if (ranges.length === 1) return answer((ranges[0] as Range).verdict);
  const middle = ranges.length >> 1;
  const upper = ranges.slice(middle);
  return branch(AT_LEAST, upper[0]?.from ?? 0, halve(upper), halve(ranges.slice(0, middle)));
}

/** Comparisons in front, each different answer once behind them; undefined where one would be out of reach. */
function grouped(ranges: readonly Range[]): Instruction[] | undefined {
  const texts = ranges.map(({ verdict }) => JSON.stringify(verdict));
  const comparisons = ranges.length - 1;
  const places = new Map<string, number>();
  const answers: Instruction[] = [];
  ranges.forEach(({ verdict }, index) => {
    if (places.has(texts[index] ?? "")) return;
    places.set(texts[index] ?? "", comparisons + answers.length);
    answers.push(...answer(verdict));
  });
  if (comparisons + answers.length > REACH) return undefined;
  const tree: Instruction[] = [];
  /** Lays out the comparisons of `from` to `to` (inclusive) beginning at `tree.length`; returns where to jump for them. */
  const lay = (from: number, to: number): number => {
    if (from === to) return places.get(texts[from] ?? "") ?? 0;
    const middle = (from + to + 1) >> 1;
    const at = tree.length;
    const node: Instruction = { code: AT_LEAST, jt: 0, jf: 0, k: ranges[middle]?.from ?? 0 };
    tree.push(node);
    node.jf = lay(from, middle - 1) - at - 1;
    node.jt = lay(middle, to) - at - 1;
    return at;
  };
  lay(0, ranges.length - 1);
  return [...tree, ...answers];
}

function answer(verdict: Verdict): Instruction[] {
  if (typeof verdict === "number") return [{ code: RETURN, jt: 0, jf: 0, k: verdict }];
  const { load, mask, code, k, yes, no } = verdict;
  return [
    { code: LOAD, jt: 0, jf: 0, k: load },
    ...(mask === undefined ? [] : [{ code: AND, jt: 0, jf: 0, k: mask }]),
    ...branch(code, k, answer(yes), answer(no)),
  ];
}
