/** True in `./test --full`. */
export const FULL = process.env["LIGHTER_TEST_FULL"] === "1";

/** The seed of this run's random choices; printed by the runner, given again by LIGHTER_TEST_SEED. */
export const SEED = Number(process.env["LIGHTER_TEST_SEED"] ?? 1);

/** A count that tests use: the smallest honest one every day, the in `./test --full`. */
export function count(daily: number, full: number): number {
  return FULL ? full : daily;
}

/** Random numbers in [0, 1) that the seed decides (mulberry32). */
export function randomOf(seed = SEED): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
