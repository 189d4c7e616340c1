import { constants } from "node:os";
import { LighterError } from "./errors.ts";

/** The lowest and highest real-time signals of glibc: `RTMIN+n`, `RTMAX-n`. */
const RTMIN = 34;
const RTMAX = 64;

/** A signal's number from a number (any but 0) or a name with or without `SIG` (`TERM`, `SIGKILL`, `9`, `RTMIN+3`). Throws `invalid` with Docker's text. */
export function signalNumber(text: string): number {
  if (/^[+-]?\d{1,9}$/.test(text)) {
    const number = Number(text);
    if (number !== 0) return number;
    throw invalid(text);
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realtime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realtime) {
    const offset = Number(realtime[3] ?? 0) * (realtime[2] === "-" ? -1 : 1);
    const number = (realtime[1] === "MIN" ? RTMIN : RTMAX) + offset;
    if (number >= RTMIN && number <= RTMAX) return number;
    throw invalid(text);
  }
  const number = (constants.signals as Record<string, number>)[`SIG${name}`];
  if (number === undefined) throw invalid(text);
  return number;
}

/** Whether the kernel knows a signal: numbers are taken as they are, as Docker takes them, until one has to be sent. */
export function isSignal(number: number): boolean {
  return number > 0 && number <= RTMAX;
}

function invalid(text: string): LighterError {
  return new LighterError("invalid", `invalid signal: ${text}`);
}
