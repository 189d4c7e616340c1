/** One thing that is timed: its sample is the milliseconds that `once` reports, or its wall time. */
export interface Contestant {
  name: string;
  once: () => Promise<number | void>;
}

/** Milliseconds: the middle one, and the one that nine of ten stay below. */
export interface Figure {
  name: string;
  median: number;
  p90: number;
  samples: number;
}

/**
 * Times contestants in turn, round after round, so that whatever else the machine does meets all of them alike.
 * The first round warms up and does not count; what takes long anyway can do without (`warm: false`).
 */
export async function interleaved(contestants: readonly Contestant[], rounds: number, { warm = true } = {}): Promise<Figure[]> {
  const samples = contestants.map((): number[] => []);
  for (let round = warm ? 0 : 1; round <= rounds; round++) {
    for (const [index, contestant] of contestants.entries()) {
      const start = performance.now();
      const own = await contestant.once();
      const elapsed = own ?? performance.now() - start;
      if (round > 0) samples[index]?.push(elapsed);
    }
  }
  return contestants.map(({ name }, index) => figureOf(name, samples[index] ?? []));
}

function figureOf(name: string, samples: number[]): Figure {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
  return { name, median: at(0.5), p90: at(0.9), samples: sorted.length };
}

/** Runs a command that must succeed, its output thrown away. Throws with what it wrote to stderr. */
export async function timed(command: readonly string[], env: Record<string, string> = {}): Promise<number> {
  const start = performance.now();
  const child = Bun.spawn([...command], { env: { ...process.env, ...env }, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const code = await child.exited;
  const elapsed = performance.now() - start;
  if (code !== 0) throw new Error(`${command.join(" ")}: exit code ${code}: ${await child.stderr.text()}`);
  return elapsed;
}
