import type { Live } from "./live.ts";

const waits = new WeakMap<Live, AbortController>();

/** Does what a start may have to wait long for (a server that does not answer): a kill, stop or removal of the container ends that. */
export async function waitInStart<T>(live: Live, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const wait = new AbortController();
  waits.set(live, wait);
  try {
    return await work(wait.signal);
  } finally {
    waits.delete(live);
  }
}

/** Ends the wait of a start that is under way, if there is one; the start fails then. */
export function endStartWait(live: Live): void {
  waits.get(live)?.abort();
}
