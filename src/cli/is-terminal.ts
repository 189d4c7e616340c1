/** What of `process.binding("tty_wrap")` is used here. */
interface TerminalBinding {
  isTTY(fd: number): boolean;
}

/** Whether a descriptor is a terminal, by the call that `node:tty` is made of: that module takes 2.7 ms to load. */
export function isTerminal(fd: 0 | 1 | 2): boolean {
  const { binding } = process as unknown as { binding: (name: "tty_wrap") => TerminalBinding };
  return binding("tty_wrap").isTTY(fd);
}
