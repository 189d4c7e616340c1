import { expect, test } from "bun:test";
import { runBounded } from "./run-bounded.ts";

test("what ends in time tells how", async () => {
  expect(await runBounded(["true"], { patience: 60_000 })).toEqual({ kind: "done" });
  expect(await runBounded(["sh", "-c", "echo why >&2; exit 3"], { patience: 60_000 })).toEqual({ kind: "failed", why: "why" });
  expect(await runBounded(["sh", "-c", "exit 3"], { patience: 60_000 })).toEqual({ kind: "failed", why: "exit code 3" });
});

test("what hangs is given up, and so is what nobody waits for any more", async () => {
  expect(await runBounded(["sleep", "1000"], { patience: 1 })).toEqual({ kind: "late" });
  const stop = new AbortController();
  const running = runBounded(["sleep", "1000"], { patience: 600_000, signal: stop.signal });
  stop.abort();
  expect(await running).toEqual({ kind: "cancelled" });
  expect(await runBounded(["there-is-no-such-program"], { patience: 1, signal: AbortSignal.abort() })).toEqual({ kind: "cancelled" });
});
