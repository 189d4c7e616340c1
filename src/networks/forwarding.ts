import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { type Context } from "./context.ts";
import { recordEffect } from "./effects.ts";

const SYSCTL = "/proc/sys/";

/** Lets the host forward packets of a family; what it was before is recorded, so that it can be put back. */
export function enableForwarding(context: Context, family: 4 | 6): void {
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

/** A host that forwards stops listening to routers unless `accept_ra` is 2 (ip-sysctl.rst): its own way out must stay. */
function keepRouterAdvertisements(context: Context, link: string): void {
  const key = `net/ipv6/conf/${link}/accept_ra`;
  if (link !== "all" && link !== "default" && readFileSync(SYSCTL + key, "utf8").trim() === "1") change(context, key, "1", "2");
}

function change(context: Context, key: string, was: string, is: string): void {
  context.state.write((tx) => recordEffect(tx, { kind: "sysctl", key, data: { was, is } }), { durable: true });
  writeFileSync(SYSCTL + key, is);
}
