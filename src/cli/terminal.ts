import { isTerminal } from "./is-terminal.ts";
import type { Size } from "../client/containers.ts";

/** Whether standard input is a terminal. */
export function inputIsTerminal(): boolean {
  return isTerminal(0);
}

/** The size of the terminal on standard output, or on standard input; undefined where neither is one. */
export function terminalSize(): Size | undefined {
  if (isTerminal(1)) return { height: process.stdout.rows, width: process.stdout.columns };
  return undefined;
}

/** Puts the terminal on standard input into raw mode until the returned function is called; nothing where it is none. */
export function rawMode(): () => void {
  if (!isTerminal(0)) return () => {};
  process.stdin.setRawMode(true);
  let raw = true;
  const restore = (): void => {
    if (!raw) return;
    raw = false;
    process.stdin.setRawMode(false);
  };
  process.once("exit", restore);
  return restore;
}

/** Calls `resize` with the size now and whenever it changes. Failures are of no matter: the program may have ended. */
export function followSize(resize: (size: Size) => Promise<void>): () => void {
  const send = (): void => {
    const size = terminalSize();
    if (size) void resize(size).catch(() => {});
  };
  send();
  process.on("SIGWINCH", send);
  return () => {
    process.off("SIGWINCH", send);
  };
}
