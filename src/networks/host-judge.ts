import { attributes, beNumberOf, textOf } from "../linux/netlink.ts";
import { type RawRule, verdictOf } from "../linux/nft-read.ts";
import type { PortVerdict } from "../wire/port-reach.ts";
import { addressBytes, parseAddress } from "./addresses.ts";
import { type PortRule, PROTOCOL } from "./firewall.ts";
import { type Copies, FAMILY_NAMES, type Unclear } from "./host-copy.ts";
import { familiesOf } from "./host-gate.ts";
import { type Asking, type Knock, ask, looked } from "./host-match.ts";
import type { HostTable } from "./host-snapshot.ts";

/** Where a decision was made: a rule, or a chain's policy where `handle` is undefined. */
export interface Place {
  family: string;
  table: string;
  chain: string;
  handle?: number;
}

/** What the host's rules say about a port, and the rules that say it. */
export interface Judgement {
  reach: PortVerdict;
  /** Decides for all whom no exception names. */
  by?: Place;
  /** Others may be let in, or kept out: under which conditions, and by which rule. */
  exceptions: { accept: boolean; conditions: string[]; by: Place }[];
  /** Why nothing can be said. */
  unclear?: string;
}

type Verdict = "accept" | "drop" | "unclear";

interface End {
  verdict: Verdict;
  by: Place;
  why?: string;
}

const VERDICT = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
const DEEPEST = 16;

/** What the host's own rules say about new connections from outside to a port. */
export function judge(copies: Copies, tables: readonly HostTable[], port: PortRule): Judgement {
  if (copies.shut !== undefined) return { reach: "unclear", exceptions: [], unclear: copies.shut };
  const knock = knockAt(port);
  if (knock === undefined) return { reach: "closed", exceptions: [] };
  const kinds = copies.kindsOf(port);
  const doubts = copies.unclear.filter(({ kind }) => kind === undefined || kinds.includes(kind));
  const judgements = tables
    .filter(({ family }) => familiesOf(family).includes(knock.family))
    .flatMap((table) => table.bases.map((base) => new Judge(doubts, table, knock).base(base.name, base.hook?.policy ?? "drop")));
  const worst = ["closed", "unclear", "restricted"] as const;
  for (const reach of worst) {
    const found = judgements.find((one) => one.reach === reach);
    if (found !== undefined) return found;
  }
  // What lets in is told by the chain that does so by a rule.
  return judgements.find(({ by }) => by?.handle !== undefined) ?? judgements[0] ?? { reach: "open", exceptions: [] };
}

/** A new connection to a published port; undefined where its address is none. */
function knockAt(port: PortRule): Knock | undefined {
  const host = parseAddress(port.hostAddress);
  if (host === undefined) return undefined;
  const address = host.value === 0n ? undefined : addressBytes(host);
  return { family: host.family, protocol: PROTOCOL[port.protocol], port: port.hostPort, address };
}

class Judge {
  readonly #doubts: ReadonlyMap<string, Unclear>;
  readonly #table: HostTable;
  readonly #knock: Knock;
  readonly #exceptions: Judgement["exceptions"] = [];
  #unclear = "";

  constructor(doubts: readonly Unclear[], table: HostTable, knock: Knock) {
    // Of a rule's two, the one that is met first.
    const nearest = doubts.toSorted((one, other) => other.at - one.at);
    this.#doubts = new Map(nearest.map((one) => [`${one.table} ${one.handle}`, one]));
    this.#table = table;
    this.#knock = knock;
  }

  base(chain: string, policy: "accept" | "drop"): Judgement {
    const end = this.#chain(chain, [], 0) ?? { verdict: policy, by: this.#place(chain) };
    const against = this.#exceptions.filter(({ accept }) => accept !== (end.verdict === "accept"));
    const common = { by: end.by, exceptions: against };
    if (end.verdict === "unclear")
      return { ...common, reach: against.length > 0 ? "restricted" : "unclear", unclear: end.why ?? this.#unclear };
    if (against.length > 0) return { ...common, reach: "restricted" };
    return { ...common, reach: end.verdict === "accept" ? "open" : "closed" };
  }

  /** The end of a packet in a chain for sure; what happens under conditions is noted. Undefined where it comes out at the chain's end. */
  #chain(name: string, given: string[], depth: number): End | undefined {
    if (depth > DEEPEST) return undefined;
    let conditions = given;
    for (const rule of this.#table.chains.get(name) ?? []) {
      const asking: Asking = { knock: this.#knock, sets: this.#table.sets, registers: new Map(), conditions: [...conditions] };
      const outcome = this.#rule(rule, asking, depth);
      if (outcome === "return" && asking.conditions.length === conditions.length) return undefined;
      // Who was sent back here does not meet what follows.
      if (outcome === "return") conditions = asking.conditions.map((one) => (conditions.includes(one) ? one : `unless ${one}`));
      else if (outcome !== undefined) {
        if (asking.conditions.length === 0) return outcome;
        this.#note(outcome, asking.conditions);
        // Under the conditions that led here, nothing else follows.
        if (asking.conditions.length === given.length) return undefined;
      }
    }
    return undefined;
  }

  #note({ verdict, by, why }: End, conditions: string[]): void {
    if (verdict === "unclear") this.#unclear ||= why ?? "";
    this.#exceptions.push({ accept: verdict === "accept", conditions, by });
  }

  #rule(rule: RawRule, asking: Asking, depth: number): End | "return" | undefined {
    const by = this.#place(rule.chain, rule.handle);
    const doubt = this.#doubts.get(`${by.family} ${by.table} ${rule.handle}`);
    for (const [index, expression] of rule.expressions.entries()) {
      const found = attributes(expression.data);
      if (doubt !== undefined && index >= doubt.at) return { verdict: "unclear", by, why: doubt.why };
      const isVerdictMap = expression.name === "lookup" && beNumberOf(found.get(3)) === 0 && found.has(3);
      if (isVerdictMap) return this.#map(found, asking, by, depth);
      if (ask(expression, asking) === "no") return undefined;
      if (expression.name === "reject" || (expression.name === "target" && textOf(found.get(1)) === "REJECT"))
        return { verdict: "drop", by };
      if (expression.name === "queue") return { verdict: "unclear", by, why: "a program decides" };
      const verdict = expression.name === "immediate" ? verdictOf(found.get(2)) : undefined;
      if (verdict !== undefined) return this.#follow(verdict, asking, by, depth);
    }
    return undefined;
  }

  #follow({ code, chain }: { code: number; chain: string }, asking: Asking, by: Place, depth: number): End | "return" | undefined {
    if (code === VERDICT.accept) return { verdict: "accept", by };
    if (code === VERDICT.drop) return { verdict: "drop", by };
    if (code === VERDICT.return) return "return";
    if (code !== VERDICT.jump && code !== VERDICT.goto) return undefined;
    const end = this.#chain(chain, asking.conditions, depth + 1);
    return end ?? (code === VERDICT.goto ? "return" : undefined);
  }

  #map(found: Map<number, Uint8Array>, asking: Asking, by: Place, depth: number): End | "return" | undefined {
    const { match, elements } = looked(found, asking);
    if (match === "no") return undefined;
    const ends = elements.map((element) => {
      const verdict = verdictOf(element.get(2));
      return verdict === undefined ? undefined : this.#follow(verdict, asking, by, depth);
    });
    if (match === "yes") return ends[0];
    for (const end of ends) if (end !== undefined && end !== "return") this.#note(end, asking.conditions);
    return undefined;
  }

  #place(chain: string, handle?: number): Place {
    const { family, table } = this.#table;
    return { family: FAMILY_NAMES[family] ?? "", table, chain, ...(handle !== undefined && { handle }) };
  }
}
