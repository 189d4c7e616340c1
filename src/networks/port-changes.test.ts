import { expect, test } from "bun:test";
import type { PortRule } from "./firewall.ts";
import { PortChanges, type PortChange } from "./port-changes.ts";

const port = (hostPort: number): PortRule => ({ protocol: "tcp", hostAddress: "0.0.0.0", hostPort, address: "10.0.0.2", port: 80 });

/** A kernel that knows which ports are open, and refuses what does not fit. */
function kernel() {
  const open = new Set<number>();
  const batches: string[] = [];
  const changes = new PortChanges(({ add = [], remove = [] }: PortChange) => {
    batches.push([...remove.map(({ hostPort }) => `-${hostPort}`), ...add.map(({ hostPort }) => `+${hostPort}`)].join(" "));
    if (remove.some(({ hostPort }) => !open.has(hostPort)) || add.some(({ hostPort }) => hostPort > 65_535)) throw new Error("refused");
    for (const { hostPort } of remove) open.delete(hostPort);
    for (const { hostPort } of add) open.add(hostPort);
  });
  return { open, batches, changes };
}

test("what waits together goes in one batch, and everybody hears of it", () => {
  const { open, batches, changes } = kernel();
  const told: unknown[] = [];
  expect(changes.add({ table: "t", add: [port(1), port(2)] }, (error) => told.push(error))).toBe(true);
  expect(changes.add({ table: "t", add: [port(3)] }, (error) => told.push(error))).toBe(false);
  expect([...told, ...batches]).toEqual([]);
  changes.flush();
  expect(batches).toEqual(["+1 +2 +3"]);
  expect(told).toEqual([undefined, undefined]);
  expect([...open]).toEqual([1, 2, 3]);
  changes.flush();
  expect(batches).toHaveLength(1);
  expect(changes.add({ table: "t", remove: [port(1)] }, () => undefined)).toBe(true);
});

test("one that is refused is refused alone", () => {
  const { open, changes } = kernel();
  const told: [string, unknown][] = [];
  for (const [name, number] of [
    ["good", 1],
    ["bad", 70_000],
    ["also good", 2],
  ] as const)
    changes.add({ table: "t", add: [port(number)] }, (error) => told.push([name, error === undefined ? "open" : (error as Error).message]));
  changes.flush();
  expect(told).toEqual([
    ["good", "open"],
    ["bad", "refused"],
    ["also good", "open"],
  ]);
  expect([...open]).toEqual([1, 2]);
});

test("what was opened and is closed again stays in its order; tables do not mix", () => {
  const { open, batches, changes } = kernel();
  const fine = (error?: unknown): void => expect(error).toBeUndefined();
  changes.add({ table: "t", add: [port(1)] }, fine);
  changes.add({ table: "t", remove: [port(1)] }, fine);
  changes.add({ table: "t", add: [port(1)] }, fine);
  changes.add({ table: "other", add: [port(9)] }, fine);
  changes.flush();
  expect(batches).toEqual(["+1", "-1 +1", "+9"]);
  expect([...open]).toEqual([1, 9]);
});
