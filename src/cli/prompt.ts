import { isTerminal } from "./is-terminal.ts";
import { LighterError } from "../base/errors.ts";
import type { App } from "./app.ts";

const INTERRUPT = 3;
const ERASE = new Set([8, 127]);

/** Asks on the terminal and returns the line that is typed; `hidden` keeps it from the screen. */
export async function ask(app: App, question: string, options: { hidden?: boolean } = {}): Promise<string> {
  app.out(question);
  if (!options.hidden || !isTerminal(0)) return firstLine();
  process.stdin.setRawMode(true);
  try {
    return await hiddenLine();
  } finally {
    process.stdin.setRawMode(false);
    app.out("\n");
  }
}

/** Asks whether to go on; anything but `y` or `yes` is no. */
export async function confirm(app: App, warning: string): Promise<boolean> {
  return /^y(es)?$/i.test((await ask(app, `${warning}\nAre you sure you want to continue? [y/N] `)).trim());
}

async function firstLine(): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const bytes of Bun.stdin.stream()) {
    text += decoder.decode(bytes, { stream: true });
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end).replace(/\r$/, "");
  }
  return text;
}

async function hiddenLine(): Promise<string> {
  const typed: number[] = [];
  for await (const bytes of Bun.stdin.stream()) {
    for (const byte of bytes) {
      if (byte === INTERRUPT) throw new LighterError("cancelled", "interrupted");
      if (byte === 10 || byte === 13) return Buffer.from(typed).toString();
      if (ERASE.has(byte)) typed.pop();
      else typed.push(byte);
    }
  }
  return Buffer.from(typed).toString();
}
