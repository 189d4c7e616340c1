import { print } from "./output.ts";

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

/** So many of SIGINT and SIGTERM together end the program that passes them on, as docker's: the way out where the other side ignores them. */
const ENOUGH = 3;

/**
 * Hands every signal that arrives to `pass` (by its name without SIG) in place of obeying it. The returned function ends that.
 * @param leave ends this program, with a word and code 1
 */
export function proxySignals(pass: (signal: string) => Promise<void>, leave: () => void = leaveByForce): () => void {
  let asked = 0;
  const handlers = PASSED.map((signal) => {
    const handler = (): void => {
      void pass(signal.slice(3)).catch(() => {});
      if ((signal === "SIGINT" || signal === "SIGTERM") && ++asked === ENOUGH) leave();
    };
    process.on(signal, handler);
    return { signal, handler };
  });
  return () => {
    for (const { signal, handler } of handlers) process.off(signal, handler);
  };
}

function leaveByForce(): void {
  print(2, `\ngot ${ENOUGH} SIGTERM/SIGINTs, forcefully exiting\n`);
  process.exit(1);
}
