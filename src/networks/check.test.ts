import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseFilters } from "../wire/filters.ts";
import { State } from "../state/state.ts";
import { AddressBook } from "./address-book.ts";
import { checkRequest } from "./check.ts";
import { list } from "./inspect.ts";
import type { NetworkRequest } from "./networks.ts";
import { gatewayPlace, planOf } from "./plan.ts";
import { type NetworkRow, findNetwork, insertNetwork, portHolder } from "./rows.ts";

let state: State;
let root: string;

function network(
  name: string,
  driver: string,
  subnet?: string,
  extra: { labels?: Record<string, string>; internal?: boolean } = {},
): NetworkRow {
  const id = new Bun.CryptoHasher("sha256").update(name).digest("hex");
  const config: NetworkRow["config"] = {
    v: 1,
    internal: extra.internal ?? false,
    attachable: false,
    enableIPv4: true,
    enableIPv6: false,
    ipam: { driver: "default", options: {}, config: subnet === undefined ? [] : [{ subnet, gateway: subnet.replace(/0\/\d+$/, "1") }] },
    options: {},
    labels: extra.labels ?? {},
  };
  return { id, name, driver, created: 1n, bridge: driver === "bridge" ? `br-${name}` : undefined, config };
}

const NETWORKS = [
  network("bridge", "bridge", "172.17.0.0/16"),
  network("host", "host"),
  network("none", "null"),
  network("app", "bridge", "10.9.0.0/29", { labels: { team: "red" } }),
  network("back", "bridge", "10.10.0.0/24", { internal: true }),
];

function request(wishes: Partial<NetworkRequest>): NetworkRequest {
  const lists = { exposed: [], dns: [], dnsOptions: [], dnsSearch: [], extraHosts: [], links: [] };
  const names = { containerId: "c1", containerName: "web", hostname: "web", domainname: "" };
  return { ...names, ...lists, mode: "default", endpoints: {}, portBindings: {}, publishAll: false, sysctls: {}, ...wishes };
}

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "lighter-networks-"));
  state = new State(join(root, "state.db"));
  state.write((tx) => NETWORKS.forEach((row) => insertNetwork(tx, row)), { durable: false });
});
afterAll(() => {
  state.close();
  rmSync(root, { recursive: true });
});

describe("check", () => {
  const needs = { container: (id: string) => ({ id, name: id, pid: 1 }) };
  const fixed = { IPAMConfig: { IPv4Address: "10.9.0.4" } };
  test.each<[string, Partial<NetworkRequest>, string]>([
    ["an unknown network", { mode: "nowhere" }, "network nowhere not found"],
    ["a second unknown network", { endpoints: { nowhere: {} } }, "network nowhere not found"],
    [
      "a fixed address on the default bridge",
      { endpoints: { bridge: fixed } },
      "user specified IP address is supported on user defined networks only",
    ],
    ["an address of another subnet", { mode: "back", endpoints: { back: fixed } }, "no configured subnet contains IP address 10.9.0.4"],
    [
      "an alias on the default bridge",
      { endpoints: { default: { Aliases: ["x"] } } },
      "network-scoped aliases are only supported for user-defined networks",
    ],
    ["a bad MAC", { mode: "app", endpoints: { app: { MacAddress: "zz" } } }, "invalid MAC address: zz"],
    [
      "links to another one's network",
      { mode: "container:x", links: ["a:b"] },
      "conflicting options: container type network can't be used with links",
    ],
    [
      "ports in another one's network",
      { mode: "container:x", portBindings: { "80/tcp": [{ HostPort: "1" }] } },
      "conflicting options: port publishing and the container type network mode",
    ],
    ["links in the host's network", { mode: "host", links: ["a:b"] }, "conflicting options: host type networking can't be used with links"],
  ])("%s is refused", (_, wishes, message) => {
    expect(() => checkRequest(state, needs, request(wishes))).toThrow(message);
  });

  test("what is right passes", () => {
    for (const wishes of [
      {},
      { mode: "host" },
      { mode: "none" },
      { mode: "container:x" },
      { mode: "app", endpoints: { app: fixed, back: {} } },
    ])
      checkRequest(state, needs, request(wishes));
  });
});

test("the plan: the mode's network first, then by name; the way out by priority, then by what leads out, then by name", () => {
  const plan = planOf(state, request({ mode: "back", endpoints: { bridge: {}, app: {}, back: {} } }));
  if (plan.kind !== "bridge") throw new Error(plan.kind);
  expect(plan.places.map(({ network: { name } }) => name)).toEqual(["back", "app", "bridge"]);
  expect(gatewayPlace(plan.places)).toBe(1);
  const preferred = plan.places.map((place) => (place.network.name === "bridge" ? { ...place, asked: { GwPriority: 1 } } : place));
  expect(gatewayPlace(preferred)).toBe(2);
});

test("a network is found by id, name, and the beginning of its id", () => {
  const [, , , app] = NETWORKS;
  for (const reference of ["app", app?.id ?? "", app?.id.slice(0, 12) ?? ""]) expect(findNetwork(state, reference).name).toBe("app");
  expect(() => findNetwork(state, "ffffffffffff")).toThrow("network ffffffffffff not found");
});

test("filters of the list", () => {
  const names = (filters: object): (string | undefined)[] => list(state, parseFilters(JSON.stringify(filters))).map(({ Name }) => Name);
  expect(names({ type: ["custom"] })).toEqual(["app", "back"]);
  expect(names({ driver: ["null", "host"] })).toEqual(["host", "none"]);
  expect(names({ name: ["^a"] })).toEqual(["app"]);
  expect(names({ label: ["team=red"] })).toEqual(["app"]);
  expect(names({ dangling: ["true"] })).toEqual(["app", "back"]);
  expect(names({ scope: ["swarm"] })).toEqual([]);
});

test("addresses: in rising order, never the gateway or the broadcast address, and a clear end", () => {
  const [, , , app] = NETWORKS;
  if (app === undefined) return;
  const book = new AddressBook(state);
  expect([1, 2, 3, 4, 5].map(() => book.take(app, 4))).toEqual(["10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5", "10.9.0.6"]);
  expect(() => book.take(app, 4)).toThrow("no available IPv4 addresses on this network's address pools: app");
  expect(book.status(app)).toEqual({ "10.9.0.0/29": { IPsInUse: 8, DynamicIPsAvailable: 0 } });
  book.free(app.id, "10.9.0.4");
  expect(() => book.takeFixed(app, "10.9.0.3")).toThrow("Address already in use");
  expect(book.take(app, 4)).toBe("10.9.0.4");
  expect(book.take(app, 6)).toBeUndefined();
});

test("who holds a port: wildcards and addresses of one family get in each other's way", () => {
  state.write(
    (tx) => {
      tx.run(
        "INSERT INTO containers (id, name, created, config_json, image, manifest, runtime, status) VALUES ('c9', 'c9', 1, '{}', 'i', 'm', 'r', 'created')",
      );
      for (const address of ["127.0.0.1", "::"])
        tx.run("INSERT INTO ports (protocol, host_address, host_port, container, container_port) VALUES ('tcp', ?, 80, 'c9', 80)", address);
    },
    { durable: false },
  );
  const holder = (hostAddress: string, protocol = "tcp"): string | undefined => portHolder(state, { protocol, hostAddress, hostPort: 80 });
  expect(["0.0.0.0", "127.0.0.1", "::", "::1"].map((address) => holder(address))).toEqual(["c9", "c9", "c9", "c9"]);
  expect([holder("10.0.0.1"), holder("0.0.0.0", "udp")]).toEqual([undefined, undefined]);
});
