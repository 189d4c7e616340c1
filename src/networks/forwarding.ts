import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { type Context, HOST_NAME_PREFIX } from "./context.ts";
import { allNetworks } from "./rows.ts";
import { effectsOf, forgetEffect, recordEffect } from "./effects.ts";

const SYSCTL = "/proc/sys/";

/** Lets the host forward packets of a family, unless the configuration says not to (`ip-forward`); what it was before is recorded, so that it can be put back. */
export function enableForwarding(context: Context, family: 4 | 6): void {
  if (context.options.defaults?.forward === false) return;
  const key = family === 4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
  try {
    if (readFileSync(SYSCTL + key, "utf8").trim() !== "0") return;
    if (family === 6) for (const link of readdirSync(`${SYSCTL}net/ipv6/conf`)) keepRouterAdvertisements(context, link);
    change(context, key, "0", "1");
  } catch (error) {
    const path = SYSCTL + key;
    context.log.warn("cannot set {path}, containers will not reach the outside: {error}", { path, error });
  }
}

/**
 * Puts settings back that are still as we left them, once no network of ours needs them. What somebody else has changed since is his; and where there are
 * bridges of others (another engine, virtual machines) they need what was set for us.
 */
export async function putBackForwarding(context: Context, families: readonly (4 | 6)[]): Promise<void> {
  if (effectsOf(context.state, "sysctl").length === 0) return;
  const { links } = await context.kernel.do("survey", undefined);
  const own = new Set(allNetworks(context.state).map(({ bridge }) => bridge));
  if (links.some(({ kind, name }) => kind === "bridge" && !own.has(name))) return;
  const ours = effectsOf(context.state, "sysctl").filter(({ key }) => families.some((family) => key.startsWith(`net/ipv${family}/`)));
  // The links' own settings first: they follow from the one for all.
  for (const { key, data } of ours.toSorted((a, b) => b.key.length - a.key.length)) {
    try {
      if (readFileSync(SYSCTL + key, "utf8").trim() === data["is"]) writeFileSync(SYSCTL + key, data["was"] ?? "");
    } catch (error) {
      // A link that is gone has no settings.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") context.log.warn("cannot put {key} back: {error}", { key, error });
    }
    context.state.write((tx) => forgetEffect(tx, "sysctl", key), { durable: false });
  }
}

/** A host that forwards stops listening to routers unless `accept_ra` is 2 (ip-sysctl.rst): its own way out must stay. */
function keepRouterAdvertisements(context: Context, link: string): void {
  const key = `net/ipv6/conf/${link}/accept_ra`;
  if (["all", "default"].includes(link) || link.startsWith(HOST_NAME_PREFIX)) return;
  if (readFileSync(SYSCTL + key, "utf8").trim() === "1") change(context, key, "1", "2");
}

function change(context: Context, key: string, was: string, is: string): void {
  context.state.write((tx) => recordEffect(tx, { kind: "sysctl", key, data: { was, is } }), { durable: true });
  writeFileSync(SYSCTL + key, is);
}
