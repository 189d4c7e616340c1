import { NETLINK_NETFILTER, type Netlink, type NetlinkMessage, attributes, openNetlink, textOf } from "../linux/netlink.ts";
import { NftBatch } from "../linux/nft.ts";
import { drainNotices, portIdOf, subscribe } from "../linux/netlink-notices.ts";
import { type Ruleset, readRuleset, rulesetGeneration } from "../linux/nft-read.ts";
import { legacyInputTables, legacyTables } from "../linux/xtables-legacy.ts";
import { type FirewallModel, type PortRule, type Reach, emptyPorts } from "./firewall.ts";
import { type Copies, type Copy, FIRST_PRIORITY, type GateModel, closedTable, copyName, shutAll, writeCopies } from "./host-copy.ts";
import { type Judgement, judge } from "./host-judge.ts";
import { HostMarks, asksForMarks } from "./host-marks.ts";
import { type Ends, endsOf, isPutOff } from "./host-ends.ts";
import { gatePorts, markPorts } from "./host-gate.ts";
import { fingerprint } from "./host-fingerprint.ts";
import { type HostTable, hostTables, laterTables } from "./host-snapshot.ts";

const NFNLGRP_NFTABLES = 7;
const SET_IS_DYNAMIC = 32;

/** What a look at the host's rules found. */
export interface HostChange {
  /** Somebody touched tables of ours. */
  ours: boolean;
  /** Rules of others changed, whatever they are for. */
  others: boolean;
  /** The host's rules use sets that packets fill, of which no notice tells: they are to be read from time to time. */
  polled: boolean;
}

/** The host's rules; `stale` are the copies of ours that stand. */
interface Found {
  tables: HostTable[];
  /** What may mark them and cannot be read. */
  unread: string;
  marks: HostMarks;
  legacy: string[];
  stale: Copy[];
}

/** Keeps copies of the host's own rules for packets to itself, which are asked about published ports. Lives in the network Worker. */
export class HostRules {
  readonly #socket: Netlink;
  #own = "";
  #reach: Reach = "firewall";
  #ports = new Map<string, PortRule>();
  /** Ports that are asked about until the translation of them is gone. */
  #leaving: PortRule[] = [];
  #copies: Copies | undefined;
  #tables: HostTable[] = [];
  #seen = "";
  #ends: Ends = new Map();
  #generation = 0;
  /** The host's rules could not be asked: no port is translated until they are. */
  #emptied = false;

  constructor(socket: Netlink) {
    this.#socket = socket;
  }

  /** What the host's rules say about ports; undefined before they were read. */
  judge(ports: readonly PortRule[]): Judgement[] | undefined {
    const copies = this.#copies;
    return copies === undefined ? undefined : ports.map((port) => judge(copies, this.#tables, port));
  }

  /** Copies the host's rules anew and asks them about the model's ports, and until {@link letGo} about those that it has not any more. */
  write(own: string, model: FirewallModel): void {
    this.#own = own;
    this.#reach = model.reach;
    const ports = new Map(model.ports.map((port) => [keyOf(port), port]));
    this.#leaving = [...this.#ports.entries()].flatMap(([key, port]) => (ports.has(key) ? [] : [port]));
    this.#ports = new Map([...this.#ports, ...ports]);
    this.#copy();
    this.#emptied = false;
  }

  /** Ends the asking about ports that the last {@link write} was told no more of: to be called when they are translated no longer. */
  letGo(): void {
    const leaving = this.#leaving.splice(0);
    if (leaving.length === 0) return;
    try {
      const batch = new NftBatch(this.#own);
      batch.append(this.portMessages({ remove: leaving }));
      batch.commit(this.#socket);
    } catch {
      // Somebody has changed the copies meanwhile: the next look writes them without these ports.
      this.#seen = "";
    }
  }

  /** The messages that put ports under the host's rules, or take them out; to be sent in the batch that opens or closes them. */
  portMessages(change: { add?: PortRule[]; remove?: PortRule[] }): NetlinkMessage[] {
    const copies = this.#copies;
    if (copies === undefined || this.#emptied) throw new Error("the host's rules could not be asked");
    const remove = (change.remove ?? []).flatMap((port) => this.#ports.get(keyOf(port)) ?? []);
    const add = change.add ?? [];
    for (const port of remove) this.#ports.delete(keyOf(port));
    for (const port of add) this.#ports.set(keyOf(port), port);
    return [...this.#messages(copies, "remove", remove), ...this.#messages(copies, "add", add)];
  }

  /** Removes the copies. */
  drop(own: string): void {
    const batch = new NftBatch(own);
    for (const { family, table } of this.#standing(own)) {
      const one = new NftBatch(table, family);
      one.addTable();
      one.deleteTable();
      batch.append(one.messages);
    }
    batch.commit(this.#socket);
    this.#copies = undefined;
    this.#seen = "";
  }

  /** A new descriptor that gets readable when somebody changes rules. */
  listen(): number {
    const fd = openNetlink(NETLINK_NETFILTER);
    subscribe(fd, NFNLGRP_NFTABLES);
    return fd;
  }

  /** Reads the notices that came to such a descriptor, and copies the host's rules again where they changed. */
  look(listener: number): HostChange {
    const { ours, others } = this.#notices(listener);
    // This thread may have taken the place of one that died.
    const isNew = this.#copies === undefined;
    if (!isNew && !ours && this.#mayDiffer(others)) this.#copyIfChanged();
    // Whoever puts our tables back writes these, too; where that fails, the next look does.
    if (ours) this.#seen = "";
    return { ours: ours || isNew || this.#emptied, others, polled: this.#isPolled() };
  }

  #notices(listener: number): { ours: boolean; others: boolean } {
    const { notices, lost } = drainNotices(listener);
    const self = portIdOf(this.#socket.fd);
    const foreign = notices.filter(({ sender }) => sender !== self);
    const ours = foreign.some(({ type, body }) => (type & 0xff) < 15 && this.#isOurs(textOf(attributes(body, 4).get(1))));
    return { ours: ours || lost, others: lost || foreign.length > 0 };
  }

  #isOurs(table: string): boolean {
    return table === this.#own || table.startsWith(copyName(this.#own, "")) || table === `${this.#own}_egress`;
  }

  #isPolled(): boolean {
    return this.#tables.some(({ sets }) => [...sets.values()].some(({ flags }) => (flags & SET_IS_DYNAMIC) !== 0));
  }

  /** Whether anything can be other than at the last look: a notice came, one was missed, or of what changes nobody tells. */
  #mayDiffer(noticed: boolean): boolean {
    const before = this.#generation;
    this.#generation = rulesetGeneration(this.#socket);
    const isTold = !this.#isPolled() && legacyTables(4).length + legacyTables(6).length === 0 && this.#copies?.shut === undefined;
    return noticed || before !== this.#generation || !isTold || this.#seen === "";
  }

  #copyIfChanged(): void {
    const seen = this.#seen;
    this.#seen = "";
    const found = this.#read();
    if (fingerprintOf(found) === seen && !isPutOff(found.tables, this.#ends)) this.#seen = seen;
    else this.#copy();
  }

  #read(): Found {
    for (let tries = 0; ; tries++) {
      try {
        return this.#readOnce();
      } catch (error) {
        // A set was removed since the rules were read.
        if (tries >= 5 || (error as { code?: string }).code !== "ENOENT") throw error;
      }
    }
  }

  #readOnce(): Found {
    const ruleset = readRuleset(this.#socket);
    const prefix = copyName(this.#own, "");
    const stale = new Map(
      ruleset.chains.filter(({ table }) => table.startsWith(prefix)).map(({ family, table }) => [`${family} ${table}`, { family, table }]),
    );
    const tables = hostTables(this.#socket, ruleset, (table) => this.#isOurs(table));
    const legacy = ([4, 6] as const).flatMap((family) =>
      legacyInputTables(family).map((table) => `${family === 4 ? "iptables" : "ip6tables"}-legacy ${table}`),
    );
    return { tables, ...this.#marks(ruleset, tables), legacy, stale: [...stale.values()] };
  }

  #marks(ruleset: Ruleset, tables: HostTable[]): Pick<Found, "unread" | "marks"> {
    if (!asksForMarks(tables)) return { unread: "", marks: new HostMarks(tables, []) };
    const later = laterTables(this.#socket, ruleset, (table) => this.#isOurs(table), FIRST_PRIORITY);
    const unread = ([4, 6] as const).some((family) => legacyTables(family).includes("nat")) ? "iptables-legacy nat" : "";
    return { unread, marks: new HostMarks(tables, later, unread) };
  }

  /** While `#seen` is empty, a copy is owed: what fails is done by the next look. Where copies cannot be written, nothing stays open by rules that are old. */
  #copy(): void {
    this.#seen = "";
    const found = this.#read();
    try {
      this.#copies = this.#written(found);
    } catch (error) {
      this.#emptied = true;
      this.#letHostJudge(found);
      throw error;
    }
    this.#tables = found.tables;
    this.#ends = endsOf(found.tables);
    this.#seen = fingerprintOf(found);
  }

  #written({ tables, marks, legacy, stale }: Found): Copies {
    const model = this.#gateModel();
    return legacy.length > 0
      ? shutAll(this.#socket, this.#own, stale, model, `rules of ${legacy.join(", ")} cannot be read`)
      : writeCopies(this.#socket, this.#own, { tables, marks }, stale, model);
  }

  /** Without translation ports are carried by the keeper, whom the host's rules judge themselves. */
  #letHostJudge({ tables }: Found): void {
    try {
      emptyPorts(this.#socket, this.#own);
      this.#tables = tables;
    } catch {
      // The next look tries again, all of it.
    }
  }

  #gateModel(): GateModel {
    const ports = [...this.#ports.values()];
    const of = (reach: Reach): PortRule[] => ports.filter((port) => (port.reach ?? this.#reach) === reach);
    return { asked: of("firewall"), closed: of("loopback") };
  }

  #messages(copies: Copies, change: "add" | "remove", ports: PortRule[]): NetlinkMessage[] {
    const of = (reach: Reach): PortRule[] => ports.filter((port) => (port.reach ?? this.#reach) === reach);
    const isShut = copies.shut !== undefined;
    const closed = isShut ? [...of("firewall"), ...of("loopback")] : of("loopback");
    const one = ({ family, table }: Copy, some: PortRule[]): readonly NetlinkMessage[] => {
      const batch = new NftBatch(table, family);
      gatePorts(batch, family, change, some);
      if (change === "add") markPorts(batch, some, (port) => copies.kindsOf(port));
      return batch.messages;
    };
    const asked = copies.tables.flatMap((copy) => one(copy, of("firewall")));
    if (copies.hasClosed || closed.length === 0) return [...asked, ...one(copies.closed, closed)];
    copies.hasClosed = change === "add";
    return [...asked, ...(copies.hasClosed ? closedTable(copies.closed, closed).messages : [])];
  }

  #standing(own: string): Copy[] {
    this.#own = own;
    return this.#read().stale;
  }
}

function fingerprintOf({ tables, marks, unread, legacy }: Found): string {
  return fingerprint([...tables, ...marks.later], [...legacy, unread]);
}

function keyOf({ protocol, hostAddress, hostPort }: PortRule): string {
  return `${protocol} ${hostAddress} ${hostPort}`;
}
