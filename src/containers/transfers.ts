import type { Live } from "./live.ts";

/** Copies under way, by container. */
const transfers = new WeakMap<Live, Set<AbortController>>();

/** Registers a copy: the signal says that it has to stop, because its client gave up or the container is being removed. */
export function beginTransfer(live: Live, given: AbortSignal | undefined): { signal: AbortSignal; done(): void } {
  const stop = new AbortController();
  const all = transfers.get(live) ?? new Set();
  transfers.set(live, all.add(stop));
  return {
    signal: given === undefined ? stop.signal : AbortSignal.any([given, stop.signal]),
    done: () => void all.delete(stop),
  };
}

/** Stops all copies of a container: a client that takes or sends nothing any more would hold it for ever. */
export function stopTransfers(live: Live): void {
  for (const stop of transfers.get(live) ?? []) stop.abort();
}
