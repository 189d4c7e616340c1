/**
 * The one permanent Worker for namespaces, rtnetlink and nftables: the kernel's network locks can hold a caller for milliseconds, and this thread
 * alone steps into other namespaces. Jobs are done in the order of their arrival.
 */
import { messageOf } from "../base/errors.ts";
import { openNft } from "../linux/nft.ts";
import { findLink, openRoute } from "../linux/netlink-route.ts";
import { attachWire, deleteLinks, detachWire, enslave, ensureBridge, makeLink, makeSandbox, setGateways, survey } from "./links.ts";
import { changePorts, dropTable, writeTable } from "./firewall.ts";
import { changeNetworks } from "./network-rules.ts";
import { readAddresses } from "./egress-read.ts";
import { allowAddresses, writeEgress } from "./egress-table.ts";
import { openConntrack } from "../linux/netlink-conntrack.ts";
import { cutWays, forgetBegun, forgetPortFlows } from "./flows.ts";
import { openForeign } from "./foreign.ts";
import { leavePlaces } from "./foreign-places.ts";
import { goneLinks, listenToLinks } from "./link-notices.ts";
import { HostRules } from "./host-rules.ts";
import { changeKept, findKept, prepareKeeper } from "./port-keeper.ts";
import { PortChanges } from "./port-changes.ts";
import { openResolverSockets } from "./resolver-sockets.ts";
import type { JobAnswer, JobMessage, Jobs } from "./jobs.ts";

declare const self: Worker;

const route = openRoute();
const nft = openNft();
const host = new HostRules(nft);
const conntrack = openConntrack();

const does: { [Name in keyof Jobs]: (argument: Jobs[Name][0]) => Jobs[Name][1] } = {
  survey: () => survey(route),
  bridge: (spec) => ensureBridge(route, spec),
  deleteLinks: (names) => deleteLinks(route, names),
  makeLink: (spec) => makeLink(route, spec),
  enslave: ({ bridge, links, isolated }) => enslave(route, bridge, links, isolated),
  sandbox: (wires) => makeSandbox(route, wires),
  furnish: ({ wires, within }) => makeSandbox(route, wires, within),
  attach: ({ namespace, wire }) => attachWire(route, namespace, wire),
  detach: ({ namespace, name }) => detachWire(namespace, name),
  areUp: (names) => names.every((name) => findLink(route, name)?.operational !== false),
  gateways: ({ namespace, name, gateways }) => setGateways(namespace, name, gateways),
  resolver: (namespace) => openResolverSockets(namespace),
  writeTable: ({ table, model }) => {
    // A port is under the host's rules before it opens, and until it is closed.
    host.write(table, model);
    writeTable(nft, table, model);
    host.letGo();
  },
  changeNetworks: ({ table, ...change }) => changeNetworks(nft, table, change),
  changePorts: ({ table, ...change }) => {
    changePorts(nft, table, change, host.portMessages(change));
    forgetPortFlows(conntrack, change);
  },
  keepPorts: ({ path, ...change }) => changeKept(path, change),
  prepareKeeper: () => void prepareKeeper(),
  keptPorts: (path) => findKept(path),
  dropTable: (table) => {
    leavePlaces(nft, table);
    host.drop(table);
    dropTable(nft, table);
  },
  listenToRules: () => host.listen(),
  judgePorts: (ports) => host.judge(ports),
  lookAtRules: (listener) => host.look(listener),
  writeEgress: ({ table, model }) => writeEgress(nft, table, model),
  allowEgress: ({ table, addresses }) => allowAddresses(nft, table, addresses),
  forgetBegun: (addresses) => forgetBegun(conntrack, addresses),
  cutWays: (places) => cutWays(conntrack, places),
  readEgress: ({ table, ports }) => readAddresses(nft, table, ports),
  listenToLinks: () => listenToLinks(),
  lookAtLinks: (listener) => goneLinks(listener),
  openForeign: (table) => openForeign(nft, table),
};

const ports = new PortChanges((change) => does.changePorts(change));

self.onmessage = ({ data }: MessageEvent<JobMessage>): void => {
  if (data.job === "changePorts") {
    const first = ports.add(data.argument as Jobs["changePorts"][0], (error) => answer(data.id, undefined, error));
    // Whoever has sent something by now comes before the flush.
    if (first) setImmediate(() => ports.flush());
    return;
  }
  ports.flush();
  try {
    answer(data.id, (does[data.job] as (argument: unknown) => unknown)(data.argument));
  } catch (error) {
    answer(data.id, undefined, error);
  }
};

function answer(id: number, result: unknown, error?: unknown): void {
  const message: JobAnswer = { id, result };
  if (error !== undefined) message.error = { code: (error as { code?: string }).code, message: messageOf(error) };
  self.postMessage(message);
}
