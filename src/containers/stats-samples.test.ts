import { expect, test } from "bun:test";
import type { Task } from "../runtime/runtime.ts";
import { type CpuSample, CpuSamples } from "./stats-samples.ts";

const SECOND = 1_000_000_000n;
// Only its identity matters.
const task = {} as Task;

function sample(seconds: number, used: number): CpuSample {
  const cpu = { total: used, user: used, system: 0, periods: 0, throttledPeriods: 0, throttledTime: 0 };
  return { time: BigInt(Math.round(seconds * 1e9)), cpu, host: { total: seconds * 2e9, online: 2 } };
}

test("before there is a sample, a container is compared with its beginning", () => {
  const before = new CpuSamples().before(task, sample(10, 5e9), 4n * SECOND);
  expect(before.time).toBe(4n * SECOND);
  expect(before.cpu.total).toBe(0);
  // Two processors passed twelve seconds in six.
  expect(before.host.total).toBe(8e9);
});

test("the youngest sample of about a second ago is the best; what is nearly now is none", () => {
  const samples = new CpuSamples();
  for (const seconds of [10, 20, 20.5]) samples.keep(task, sample(seconds, seconds));
  expect(samples.last(task)?.time).toBe(20n * SECOND);
  expect(samples.before(task, sample(21, 0), 0n).time).toBe(20n * SECOND);
  expect(samples.before(task, sample(20.3, 0), 0n).time).toBe(10n * SECOND);
  samples.keep(task, sample(21, 0));
  expect(samples.before(task, sample(21.2, 0), 0n).time).toBe(20n * SECOND);
});

test("a young sample alone is better than the beginning, unless it was just now", () => {
  const samples = new CpuSamples();
  samples.keep(task, sample(100, 0));
  expect(samples.before(task, sample(100.5, 0), 0n).time).toBe(100n * SECOND);
  expect(samples.before(task, sample(100.05, 0), 7n).time).toBe(7n);
});
