import { LighterError } from "../base/errors.ts";
import type { Reach } from "./firewall.ts";

/** Who reaches published ports from outside where nobody says anything. */
export const DEFAULT_REACH: Reach = "firewall";

/** The option of a network by which its containers' ports follow another policy than the daemon's. */
export const REACH_OPTION = "lighter.published-ports";

const REACHES: ReadonlySet<string> = new Set<Reach>(["open", "firewall", "loopback"]);

/** The policy that a text names; `what` is the setting's name for the error. Throws `invalid`. */
export function parseReach(text: string, what: string): Reach {
  if (REACHES.has(text)) return text as Reach;
  throw new LighterError(
    "invalid",
    `Cannot use "${text}" for ${what}: "open" lets everybody reach published ports, "firewall" whom the host's own rules let in, "loopback" this host and its containers alone`,
  );
}

/** The policy of a network with these options; undefined where it says nothing. */
export function reachOf(options: Readonly<Record<string, string>>): Reach | undefined {
  const text = options[REACH_OPTION];
  return text === undefined || text === "" ? undefined : parseReach(text, REACH_OPTION);
}
