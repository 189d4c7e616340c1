import { LighterError } from "../base/errors.ts";
import type { TerminalSize } from "../wire/stream.ts";
import type { Call } from "./call.ts";

/** Height and width of a terminal from the query `h` and `w`. Throws `invalid`. */
export function terminalSize(call: Call): TerminalSize {
  return { height: dimension(call, "h", "height"), width: dimension(call, "w", "width") };
}

function dimension(call: Call, key: string, word: string): number {
  const text = call.query.text(key);
  if (text === undefined) throw new LighterError("invalid", `invalid resize ${word} "": value is empty`);
  if (!/^\d{1,10}$/.test(text)) throw new LighterError("invalid", `invalid resize ${word} ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}
