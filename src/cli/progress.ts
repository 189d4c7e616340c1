import { LighterError } from "../base/errors.ts";
import { formatBytes } from "../base/units.ts";
import { decodeMessages, type ProgressMessage } from "../wire/jsonstream.ts";
import { duration, TransferRates } from "./transfer-rate.ts";

export interface ProgressOutput {
  write: (text: string) => void;
  /** A terminal is drawn on in place; anything else gets plain lines without bars. */
  terminal: boolean;
  /** Width of the terminal in columns. */
  columns: number;
  /** Messages that are answers, not progress (`aux`). */
  aux?: (value: unknown) => void;
}

const BAR = 50;
/** Narrower terminals get no bar. */
const BAR_FROM = 110;
const TIME_FROM = 50;
/** What travels has a speed, where the line has room for it: behind the bar, or without one. */
const TRAVELS = new Set(["Downloading", "Pushing"]);
const RATE_FROM = 75;
const RATE_BEHIND_BAR_FROM = 125;

/** Draws a stream of progress messages as they come. Throws the error that the stream ends with. */
export async function showProgress(body: AsyncIterable<Uint8Array>, output: ProgressOutput): Promise<void> {
  const painter = new Painter(output);
  for await (const message of decodeMessages(body)) painter.show(message);
}

class Painter {
  readonly #output: ProgressOutput;
  /** The line, counted from the first one below, of each object that is drawn. */
  #lines = new Map<string, number>();
  readonly #rates = new TransferRates();

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  show(message: ProgressMessage): void {
    if (message.aux !== undefined && message.aux !== null) {
      this.#output.aux?.(message.aux);
      return;
    }
    const { terminal, write } = this.#output;
    const drawn = message.id !== undefined && message.id !== "" && message.progressDetail !== undefined;
    const up = drawn ? this.#lineOf(message.id ?? "") : 0;
    if (!drawn) this.#lines = new Map();
    if (terminal && up > 0) write(`\u001b[${up}A`);
    const text = messageText(message, this.#output, this.#rate(message));
    if (text !== "") write(text);
    if (terminal && up > 0) write(`\u001b[${up}B`);
  }

  #rate({ id = "", status = "", progressDetail }: ProgressMessage): string {
    const { terminal, columns } = this.#output;
    if (!terminal || !TRAVELS.has(status) || progressDetail?.total === undefined) return "";
    const text = this.#rates.text(`${id} ${status}`, progressDetail.current ?? 0, progressDetail.total, performance.now());
    return columns >= (columns > BAR_FROM ? RATE_BEHIND_BAR_FROM : RATE_FROM) ? text : "";
  }

  #lineOf(id: string): number {
    let line = this.#lines.get(id);
    if (line === undefined) {
      line = this.#lines.size;
      this.#lines.set(id, line);
      if (this.#output.terminal) this.#output.write("\n");
    }
    return this.#lines.size - line;
  }
}

function messageText(message: ProgressMessage, { terminal, columns }: ProgressOutput, rate: string): string {
  const failure = message.errorDetail?.message ?? message.error;
  if (failure !== undefined && failure !== "")
    throw new LighterError(message.errorDetail?.code === 401 ? "unauthorized" : "internal", failure);
  const bar = message.progressDetail === undefined ? "" : barText(message.progressDetail, columns);
  const inPlace = terminal && !message.stream && message.progressDetail !== undefined;
  if (!inPlace && bar !== "") return "";
  const head = `${inPlace ? "\u001b[2K\r" : ""}${message.id ? `${message.id}: ` : ""}${message.from ? `(from ${message.from}) ` : ""}`;
  if (inPlace) return `${head}${message.status ?? ""} ${bar}${rate}\r`;
  return message.stream ? `${head}${message.stream}` : `${head}${message.status ?? ""}\n`;
}

/** `[====>    ]  1.2MB/3.4MB 5s`. */
export function barText(progress: NonNullable<ProgressMessage["progressDetail"]>, columns: number, now = Date.now() / 1000): string {
  const { current = 0, total = 0, units = "", start = 0, hidecounts = false } = progress;
  if (current <= 0 && total <= 0) return "";
  const amount = (value: number): string => formatBytes(value);
  if (total <= 0) return units === "" ? amount(current).padStart(8) : `${current} ${units}`;
  const half = Math.min(Math.trunc(Math.trunc((current / total) * 100) / 2), BAR);
  const bar = columns > BAR_FROM ? `[${"=".repeat(half)}>${" ".repeat(BAR - half)}] ` : "";
  let counts = "";
  if (!hidecounts && units === "")
    counts = current > total ? amount(current).padStart(8) : `${amount(current).padStart(8)}/${amount(total)}`;
  else if (!hidecounts) counts = current > total ? `${current} ${units}` : `${current}/${total} ${units}`;
  const shown = columns > TIME_FROM && current > 0 && start > 0 && half < BAR;
  const left = shown ? ` ${duration(Math.round(((now - start) / current) * (total - current)))}` : "";
  return bar + counts + left;
}
