import { LighterError } from "../base/errors.ts";
import { shortId } from "../base/ids.ts";
import { libc } from "../linux/libc.ts";
import type { Context } from "./context.ts";
import { effectsOf, forgetEffect, recordEffect } from "./effects.ts";
import type { LinkSpec, Survey, Wire, WireParent } from "./jobs.ts";
import type { JobError } from "./kernel.ts";
import { type NetworkRow, allNetworks } from "./rows.ts";

/** Docker's names of the macvlan and ipvlan drivers' options. */
const OPTION = { parent: "parent", macvlanMode: "macvlan_mode", ipvlanMode: "ipvlan_mode", ipvlanFlag: "ipvlan_flag" } as const;

/** linux/if_link.h. */
const MACVLAN_MODE: Readonly<Record<string, number>> = { private: 1, vepa: 2, bridge: 4, passthru: 8 };
const IPVLAN_MODE: Readonly<Record<string, number>> = { l2: 0, l3: 1, l3s: 2 };
const IPVLAN_FLAG: Readonly<Record<string, number>> = { bridge: 0, private: 1, vepa: 2 };

/** Milliseconds. */
const PATIENCE = 3000;

/** Whether containers of a network sit directly on a link of the host, with no bridge, port or rule of ours between. */
export function isOnParent({ driver }: Pick<NetworkRow, "driver">): boolean {
  return driver === "macvlan" || driver === "ipvlan";
}

/** Whether containers have an interface in a network: all but `host` and `none`. */
export function hasInterface(network: NetworkRow): boolean {
  return network.bridge !== undefined || isOnParent(network);
}

/** The host's link that containers of a macvlan or ipvlan network sit on, and how. */
export function parentOf(network: NetworkRow): WireParent | undefined {
  if (!isOnParent(network)) return undefined;
  const { options } = network.config;
  const link = parentName(network);
  if (network.driver === "macvlan") return { kind: "macvlan", link, mode: modeOf(MACVLAN_MODE, options[OPTION.macvlanMode], "bridge") };
  const flag = modeOf(IPVLAN_FLAG, options[OPTION.ipvlanFlag], "bridge");
  return { kind: "ipvlan", link, mode: modeOf(IPVLAN_MODE, options[OPTION.ipvlanMode], "l2"), flag };
}

/** Whether default routes name the link alone: in ipvlan's routed modes nobody answers for a gateway. */
export function isRouted({ driver, config }: NetworkRow): boolean {
  return driver === "ipvlan" && (config.options[OPTION.ipvlanMode] ?? "").startsWith("l3");
}

function parentName({ id, config }: NetworkRow): string {
  return (config.options[OPTION.parent] ?? "") || `dm-${shortId(id)}`;
}

function modeOf(modes: Readonly<Record<string, number>>, asked: string | undefined, usual: string): number {
  return modes[asked === undefined || asked === "" ? usual : asked] ?? -1;
}

/** Checks the options of a new macvlan or ipvlan network. Throws `invalid` for a mode or parent that is none, `forbidden` for a parent that is taken. */
export function checkParent(network: NetworkRow, survey: Survey, others: readonly NetworkRow[]): void {
  const parent = parentOf(network);
  if (parent === undefined) return;
  const { options } = network.config;
  if (parent.mode < 0)
    throw new LighterError(
      "invalid",
      `requested ${network.driver} mode '${options[OPTION.macvlanMode] ?? options[OPTION.ipvlanMode]}' is not valid`,
    );
  if ((parent.flag ?? 0) < 0) throw new LighterError("invalid", `unknown ipvlan flag: ${options[OPTION.ipvlanFlag]}`);
  const exclusive = (mode: number): boolean => parent.kind === "macvlan" && mode === MACVLAN_MODE["passthru"];
  const rival = others.find((other) => {
    const its = parentOf(other);
    return its?.link === parent.link && (its.kind !== parent.kind || exclusive(its.mode) || exclusive(parent.mode));
  });
  if (rival !== undefined) throw new LighterError("forbidden", `network ${rival.name} is already using parent interface ${parent.link}`);
  linkToMake(network, survey);
}

/** The link that has to be made for a network to stand on: a VLAN (`eth0.10`) that is not there yet, or a dummy one where no parent was named. */
export function linkToMake(network: NetworkRow, survey: Survey): LinkSpec | undefined {
  const parent = parentOf(network);
  if (parent === undefined || survey.links.some(({ name }) => name === parent.link)) return undefined;
  if ((network.config.options[OPTION.parent] ?? "") === "") return { kind: "dummy", name: parent.link };
  const [, below = "", id = ""] = /^(.+)\.(\d+)$/.exec(parent.link) ?? [];
  if (below === "" || Number(id) > 4094)
    throw new LighterError("invalid", `invalid subinterface vlan name ${parent.link}, example formatting is eth0.10`);
  if (!survey.links.some(({ name }) => name === below))
    throw new LighterError("invalid", `Cannot create network "${network.name}" on "${parent.link}": the host has no link "${below}"`);
  return { kind: "vlan", name: parent.link, below, id: Number(id) };
}

/** Makes what {@link linkToMake} says, named in a row until {@link sweepParents} has removed it again. */
export async function makeParent(context: Context, network: NetworkRow, survey: Survey): Promise<void> {
  const link = linkToMake(network, survey);
  if (link === undefined) return;
  context.state.write((tx) => recordEffect(tx, { kind: "link", key: link.name, data: { network: network.id } }), { durable: true });
  try {
    await context.kernel.do("makeLink", link);
  } catch (error) {
    const how = link.kind === "dummy" ? "name an interface of the host with -o parent=" : `make the interface "${link.name}" yourself`;
    throw asLacking(error, network, link.kind, how);
  }
}

/** Makes a new network's parent where it has to, and an interface on it for a moment: what the kernel cannot do is known before a container needs it. */
export async function tryParent(context: Context, network: NetworkRow, survey: Survey): Promise<void> {
  await makeParent(context, network, survey);
  const parent = parentOf(network);
  if (parent === undefined) return;
  const wire: Wire = {
    parent,
    bridge: "",
    hostName: "",
    name: "eth0",
    mac: "02:42:00:00:00:01",
    addresses: [],
    gateways: [],
    mtu: 0,
    isolated: false,
  };
  try {
    libc().close(await patientSandbox(() => context.kernel.do("sandbox", [wire])));
  } catch (error) {
    throw asLacking(error, network, parent.kind, 'use the driver "bridge"');
  }
}

/**
 * A namespace with such interfaces. The kernel takes those of an ended container off their parent in its own time: until then a fixed MAC is taken,
 * and so is a parent that is to be had alone (EINVAL).
 */
export async function patientSandbox(make: () => Promise<number>): Promise<number> {
  const end = performance.now() + PATIENCE;
  for (;;) {
    try {
      return await make();
    } catch (error) {
      if (!["EADDRINUSE", "EINVAL", "EBUSY"].includes((error as JobError).code ?? "") || performance.now() > end) throw error;
      await Bun.sleep(20);
    }
  }
}

function asLacking(error: unknown, { name }: NetworkRow, kind: string, how: string): unknown {
  if ((error as JobError).code !== "EOPNOTSUPP") return error;
  return new LighterError("unsupported", `Cannot create network "${name}": this kernel has no ${kind} links: ${how}`, { cause: error });
}

/** Removes the links that were made for networks that are gone. */
export async function sweepParents(context: Context): Promise<void> {
  const used = new Set(allNetworks(context.state).map((network) => parentOf(network)?.link));
  const stale = effectsOf(context.state, "link").flatMap(({ key }) => (used.has(key) ? [] : [key]));
  if (stale.length === 0) return;
  await context.kernel.do("deleteLinks", stale);
  context.state.write((tx) => stale.forEach((key) => forgetEffect(tx, "link", key)), { durable: false });
}
