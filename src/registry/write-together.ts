import type { State, Tx } from "../state/state.ts";

interface Waiting {
  change: (tx: Tx) => void;
  resolve: () => void;
  reject: (error: unknown) => void;
}

const groups = new WeakMap<State, Waiting[]>();

/**
 * A durable change that shares its transaction, and so its wait for the disk, with all others that are asked for in the same turn of the event loop.
 * Resolves once it is on disk; one that fails fails alone.
 */
export function writeTogether(state: State, change: (tx: Tx) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const group = groups.get(state) ?? begin(state);
  group.push({ change, resolve, reject });
  return promise;
}

function begin(state: State): Waiting[] {
  const group: Waiting[] = [];
  groups.set(state, group);
  setImmediate(() => {
    groups.delete(state);
    commit(state, group);
  });
  return group;
}

function commit(state: State, group: readonly Waiting[]): void {
  try {
    state.write((tx) => group.forEach(({ change }) => change(tx)), { durable: true });
  } catch (error) {
    if (group.length === 1) group[0]?.reject(error);
    else for (const each of group) commit(state, [each]);
    return;
  }
  for (const { resolve } of group) resolve();
}
