const UNITS = [
  ["h", 3_600_000_000_000],
  ["m", 60_000_000_000],
] as const;

/** A span as Go prints it: `700ms`, `1.5s`, `1m30s`, `1h0m0s`. @param nanoseconds not negative */
export function goDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return "0s";
  if (nanoseconds < 1e3) return `${nanoseconds}ns`;
  if (nanoseconds < 1e6) return `${nanoseconds / 1e3}µs`;
  if (nanoseconds < 1e9) return `${nanoseconds / 1e6}ms`;
  let rest = nanoseconds;
  let text = "";
  for (const [unit, length] of UNITS) {
    const count = Math.floor(rest / length);
    if (count > 0 || text !== "") text += `${count}${unit}`;
    rest -= count * length;
  }
  return `${text}${rest / 1e9}s`;
}
