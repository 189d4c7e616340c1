import { LighterError } from "../base/errors.ts";
import type { PortReach } from "../wire/port-reach.ts";
import { type Context, networkReach } from "./context.ts";
import { directRules } from "./direct-ports.ts";
import { type PortRule, isCarried } from "./firewall.ts";
import type { Judgement, Place } from "./host-judge.ts";
import { DEFAULT_REACH } from "./reach.ts";
import { type PortRow, allEndpoints, allPorts, portRules } from "./rows.ts";

const SEVERAL = 3;

/** What the outside reaches of the published ports of running containers, or of one container. */
export async function reachable(context: Context, container?: string): Promise<PortReach[]> {
  const endpoints = new Map(allEndpoints(context.state).map((endpoint) => [endpoint.id, endpoint]));
  const rows = allPorts(context.state).filter(
    (port) => context.open.has(port.container) && (container ?? port.container) === port.container,
  );
  const published = rows.flatMap((row) => portRules([row], endpoints, networkReach(context)).map((rule) => ({ row, rule })));
  const places = [...endpoints.values()].filter((one) => context.open.has(one.container) && (container ?? one.container) === one.container);
  const direct = places.flatMap((place) =>
    directRules(place, networkReach(context)).map((rule) => ({
      row: { ...rule, containerPort: rule.port, container: place.container, endpoint: place.id },
      rule,
    })),
  );
  const found = [...published, ...direct];
  const judgements = await context.kernel.do(
    "judgePorts",
    found.map(({ rule }) => rule),
  );
  if (judgements === undefined) throw new LighterError("unavailable", "Cannot judge published ports: the host's rules were not read yet");
  const texts = new RuleTexts();
  const answers: PortReach[] = [];
  for (const [index, { row, rule }] of found.entries()) {
    const name = endpoints.get(row.endpoint ?? "")?.config.containerName ?? "";
    answers.push(await told(row, rule, name, judgements[index], context.options.reach ?? DEFAULT_REACH, texts));
  }
  return answers.toSorted((one, other) => one.hostPort - other.hostPort || (one.hostAddress < other.hostAddress ? -1 : 1));
}

async function told(
  row: PortRow,
  rule: PortRule,
  containerName: string,
  judgement: Judgement | undefined,
  fallback: PortReach["policy"],
  texts: RuleTexts,
): Promise<PortReach> {
  const { protocol, hostAddress, hostPort, containerPort, container } = row;
  const policy = rule.reach ?? fallback;
  const common = { containerId: container, containerName, protocol, hostAddress, hostPort, containerPort, policy };
  if (/^127\.|^::1$/.test(hostAddress)) return { ...common, reach: "closed", why: "published on a loopback address alone" };
  if (policy === "open" && isCarried(rule)) return { ...common, reach: "open", why: 'policy "open": the host\'s firewall is not asked' };
  if (policy === "loopback") return { ...common, reach: "closed", why: 'policy "loopback": for this host and its containers alone' };
  if (judgement === undefined) return { ...common, reach: "unclear", why: "not judged" };
  // No rule can carry it: a program of the host's does, and to that the host's rules apply whatever the policy.
  const relayed = policy === "open" && judgement.reach !== "open" ? "relayed by a program of this host, " : "";
  return { ...common, reach: judgement.reach, why: `${relayed}${await reasonOf(judgement, texts)}` };
}

async function reasonOf(judgement: Judgement, texts: RuleTexts): Promise<string> {
  const { reach, by, exceptions, unclear } = judgement;
  const place = by === undefined ? "" : await texts.of(by);
  if (reach === "unclear") return `cannot be judged: ${unclear ?? "unknown"}${place === "" ? "" : `, in ${place}`}`;
  if (reach === "open") return place === "" ? "no rule of the host forbids it" : `let in by ${place}`;
  if (reach === "closed") return `closed by ${place}`;
  const accept = exceptions[0]?.accept === true;
  const list = [...new Set(exceptions.map(({ conditions }) => conditions.join(" and ")))];
  const more = list.length > SEVERAL ? ` and ${list.length - SEVERAL} more` : "";
  const first = exceptions[0] === undefined ? "" : `, by ${await texts.of(exceptions[0].by)}`;
  return `${accept ? "only" : "not"} ${list.slice(0, SEVERAL).join("; ")}${more}${first}`;
}

/** The texts of rules, from `nft` where it is installed. */
class RuleTexts {
  readonly #chains = new Map<string, Promise<string>>();

  /** `ip filter INPUT, rule "tcp dport 80 accept"`; with the number only where its text is not to be had. */
  async of({ family, table, chain, handle }: Place): Promise<string> {
    const where = `${family} ${table} ${chain}`;
    if (handle === undefined) return `the policy of ${where}`;
    const listing = this.#chains.get(where) ?? listChain(family, table, chain);
    this.#chains.set(where, listing);
    const line = (await listing).split("\n").find((one) => one.endsWith(`# handle ${handle}`));
    const text = line
      ?.replace(/ # handle \d+$/, "")
      .replace(/counter packets \d+ bytes \d+ /, "")
      .trim();
    return text === undefined ? `${where}, rule ${handle}` : `${where}, rule "${text}"`;
  }
}

async function listChain(family: string, table: string, chain: string): Promise<string> {
  const program = Bun.which("nft");
  if (program === null) return "";
  const child = Bun.spawn([program, "-a", "list", "chain", family, table, chain], { stdout: "pipe", stderr: "ignore", stdin: "ignore" });
  return await new Response(child.stdout).text();
}
