import { proxySignals } from "./signals.ts";

/** How long a signal waits for a container that is being made, in milliseconds; then this program obeys it. */
const PATIENCE = 1000;

/**
 * Passes signals on to a container that is being made: those that come before wait for it. Where it does not come in a second, or `end` is called without it,
 * this program obeys the first of them instead, so that Ctrl-C leaves a daemon that does not answer.
 * @param made resolves with the container's id
 */
export function proxyEarlySignals(
  made: Promise<string>,
  pass: (id: string, signal: string) => Promise<void>,
  obey: (signal: string) => void = (signal) => void process.kill(process.pid, `SIG${signal}`),
): { end: () => void } {
  let first: string | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ready = false;
  const endProxy = proxySignals(async (signal) => {
    first ??= signal;
    if (!ready) timer ??= setTimeout(end, PATIENCE);
    await pass(await made, signal);
  });
  void made.then(() => {
    ready = true;
    clearTimeout(timer);
  });
  function end(): void {
    clearTimeout(timer);
    endProxy();
    if (!ready && first !== undefined) obey(first);
  }
  return { end };
}
