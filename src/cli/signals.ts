/** Signals that a client passes on. Not among them: what cannot be caught, what is about the client itself (CHLD, PIPE, URG, WINCH, TTIN, TTOU, TSTP, CONT). */
const PASSED = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGVTALRM",
  "SIGPROF",
  "SIGXCPU",
  "SIGXFSZ",
  "SIGIO",
  "SIGPWR",
  "SIGSYS",
  "SIGTRAP",
] as const;

/** Hands every signal that arrives to `pass` (by its name without SIG) in place of obeying it. The returned function ends that. */
export function proxySignals(pass: (signal: string) => Promise<void>): () => void {
  const handlers = PASSED.map((signal) => {
    const handler = (): void => void pass(signal.slice(3)).catch(() => {});
    process.on(signal, handler);
    return { signal, handler };
  });
  return () => {
    for (const { signal, handler } of handlers) process.off(signal, handler);
  };
}
