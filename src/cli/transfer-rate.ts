import { formatBytes } from "../base/units.ts";

/** Speeds are those of the last seconds, and not told before there is something to go by; both in milliseconds. */
const WINDOW = 5000;
const SOONEST = 500;

/** How fast transfers go on, measured by what is told of them: bytes that were there from the start do not count. */
export class TransferRates {
  readonly #samples = new Map<string, { time: number; bytes: number }[]>();

  /** ` 12.3MB/s 4s` for a transfer that is at `current` of `total` bytes at `time` (milliseconds); empty as long as nobody can know. */
  text(name: string, current: number, total: number, time: number): string {
    const samples = this.#samples.get(name) ?? [];
    this.#samples.set(name, samples);
    if (current < (samples.at(-1)?.bytes ?? 0)) samples.length = 0;
    samples.push({ time, bytes: current });
    while (samples.length > 2 && time - (samples[1]?.time ?? 0) > WINDOW) samples.shift();
    const [first] = samples;
    if (first === undefined || time - first.time < SOONEST || current >= total) return "";
    const speed = ((current - first.bytes) * 1000) / (time - first.time);
    if (speed <= 0) return " stalled";
    return ` ${formatBytes(speed, 3)}/s ${duration(Math.ceil((total - current) / speed))}`;
  }
}

/** Whole seconds as docker prints them: `1h2m3s`. */
export function duration(seconds: number): string {
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  return `${hours > 0 ? `${hours}h` : ""}${seconds >= 60 ? `${minutes}m` : ""}${seconds % 60}s`;
}
