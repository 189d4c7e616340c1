import { expect, test } from "bun:test";
import { HealthClock } from "./health-clock.ts";
import { HealthGate } from "./health-gate.ts";
import { healthActionOf, validateHealthAction } from "./health-label.ts";
import { HealthOutput } from "./health-output.ts";
import { intervalOf, type Probe, probeOf } from "./health-probe.ts";
import { healthAfter, type HealthState, withResult } from "./health-result.ts";

const SECOND = 1_000_000_000;
const probe: Probe = {
  command: ["true"],
  interval: 30 * SECOND,
  timeout: SECOND,
  startPeriod: 10 * SECOND,
  startInterval: 2 * SECOND,
  retries: 2,
};

test("a probe has Docker's defaults; a shell's words go to the container's shell", () => {
  expect(probeOf({ Healthcheck: { Test: ["CMD-SHELL", "exit 1"] } })).toEqual({
    command: ["/bin/sh", "-c", "exit 1"],
    interval: 30 * SECOND,
    timeout: 30 * SECOND,
    startPeriod: 0,
    startInterval: 5 * SECOND,
    retries: 3,
  });
  const given = { Interval: 1, Timeout: 2, StartPeriod: 3, StartInterval: 4, Retries: 5 };
  expect(probeOf({ Shell: ["/bin/ash", "-e", "-c"], Healthcheck: { Test: ["CMD-SHELL", "x y"], ...given } })).toMatchObject({
    command: ["/bin/ash", "-e", "-c", "x y"],
    interval: 1,
    timeout: 2,
    startPeriod: 3,
    startInterval: 4,
    retries: 5,
  });
  expect(probeOf({ Healthcheck: { Test: ["CMD", "a", "b c"] } })?.command).toEqual(["a", "b c"]);
  for (const Test of [[], ["NONE"], ["CMD"], ["OTHER", "x"]]) expect(probeOf({ Healthcheck: { Test } })).toBeUndefined();
  expect(probeOf({})).toBeUndefined();
});

test("the short distance holds while it starts, and no longer than its start period", () => {
  expect(intervalOf(probe, "starting", SECOND)).toBe(2 * SECOND);
  expect(intervalOf(probe, "healthy", SECOND)).toBe(30 * SECOND);
  expect(intervalOf(probe, "starting", 10 * SECOND)).toBe(30 * SECOND);
});

test("failures count after the start period, or once it has been healthy; the second one in a row means unhealthy", () => {
  const walk = (...results: [code: number, seconds: number][]): HealthState =>
    results.reduce<HealthState>((state, [code, seconds]) => healthAfter(state, code, probe, BigInt(seconds * SECOND)), {
      Status: "starting",
      FailingStreak: 0,
    });
  expect(walk([1, 1], [1, 2], [1, 3])).toEqual({ Status: "starting", FailingStreak: 0 });
  expect(walk([1, 1], [1, 11])).toEqual({ Status: "starting", FailingStreak: 1 });
  expect(walk([1, 11], [-1, 12])).toEqual({ Status: "unhealthy", FailingStreak: 2 });
  expect(walk([0, 1], [1, 2])).toEqual({ Status: "healthy", FailingStreak: 1 });
  expect(walk([0, 1], [1, 2], [1, 3], [1, 4])).toEqual({ Status: "unhealthy", FailingStreak: 3 });
  expect(walk([1, 11], [1, 12], [0, 13])).toEqual({ Status: "healthy", FailingStreak: 0 });
});

test("five results are kept", () => {
  const result = (ExitCode: number) => ({ Start: "", End: "", ExitCode, Output: "" });
  const log = [1, 2, 3, 4, 5, 6, 7].reduce<ReturnType<typeof result>[]>((all, code) => withResult(all, result(code)), []);
  expect(log.map(({ ExitCode }) => ExitCode)).toEqual([3, 4, 5, 6, 7]);
});

test("4 KiB of output are kept, dots say that there was more", () => {
  const output = new HealthOutput();
  output.write(1, Buffer.alloc(4000, "a"));
  output.write(2, Buffer.alloc(96, "b"));
  expect(output.text).toBe("a".repeat(4000) + "b".repeat(96));
  output.write(1, Buffer.from("c"));
  expect(output.text).toBe("a".repeat(4000) + "b".repeat(96) + "...");
});

test("what is to be done with an unhealthy container", () => {
  expect(healthActionOf({})).toBe("none");
  expect(healthActionOf({ autoheal: "true" })).toBe("restart");
  expect(healthActionOf({ autoheal: "false" })).toBe("none");
  expect(healthActionOf({ autoheal: "true", "lighter.health-on-failure": "stop" })).toBe("stop");
  expect(() => validateHealthAction({ "lighter.health-on-failure": "panic" })).toThrow("unknown action 'panic'");
});

test("the clock rings once for each that is due, in no case for one that was taken out", async () => {
  const rung: string[] = [];
  const all = Promise.withResolvers<void>();
  const clock = new HealthClock((id) => {
    rung.push(id);
    if (id === "late") all.resolve();
  });
  clock.set("late", 60);
  clock.set("out", 5);
  clock.set("early", 1);
  clock.clear("out");
  await all.promise;
  // A thread that stood still rings both in one round.
  expect(rung.toSorted()).toEqual(["early", "late"]);
  clock.set("never", 1);
  clock.close();
  await Bun.sleep(30);
  expect(rung.toSorted()).toEqual(["early", "late"]);
});

test("the gate lets in as many as it is wide, in their order", async () => {
  const gate = new HealthGate(1);
  const order: string[] = [];
  const first = await gate.enter();
  const others = ["b", "c"].map(async (name) => {
    const leave = await gate.enter();
    order.push(name);
    leave();
    leave();
  });
  await Bun.sleep(1);
  expect(order).toEqual([]);
  first();
  await Promise.all(others);
  expect(order).toEqual(["b", "c"]);
});
