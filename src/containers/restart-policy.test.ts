import { expect, test } from "bun:test";
import { restartDelay, shouldRestart, validateRestartPolicy } from "./restart-policy.ts";

test("delays double from 100 ms to a minute, and begin anew after a run of ten seconds", () => {
  const delays = [100];
  while (delays.length < 12) delays.push(restartDelay(delays.at(-1) ?? 0, 9_999));
  expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
  expect(restartDelay(0, 5)).toBe(100);
  expect(restartDelay(60_000, 10_000)).toBe(100);
});

test("who is started again", () => {
  const ended = { exitCode: 1, restartCount: 0, stoppedByUser: false };
  const again = (
    Name: "no" | "always" | "unless-stopped" | "on-failure",
    more: Partial<typeof ended> = {},
    MaximumRetryCount = 0,
  ): boolean => shouldRestart({ Name, MaximumRetryCount }, { ...ended, ...more });
  expect(again("no")).toBe(false);
  expect(shouldRestart(undefined, ended)).toBe(false);
  expect(again("always", { exitCode: 0, stoppedByUser: true })).toBe(true);
  expect(again("unless-stopped", { exitCode: 0 })).toBe(true);
  expect(again("unless-stopped", { stoppedByUser: true })).toBe(false);
  expect(again("on-failure")).toBe(true);
  expect(again("on-failure", { exitCode: 0 })).toBe(false);
  expect(again("on-failure", { restartCount: 1 }, 2)).toBe(true);
  expect(again("on-failure", { restartCount: 2 }, 2)).toBe(false);
});

test("policies that contradict themselves are refused", () => {
  expect(() => validateRestartPolicy({ Name: "sometimes" as "no" }, false)).toThrow("unknown policy 'sometimes'");
  expect(() => validateRestartPolicy({ Name: "always", MaximumRetryCount: 1 }, false)).toThrow("maximum retry count can only be used with");
  expect(() => validateRestartPolicy({ Name: "on-failure", MaximumRetryCount: -1 }, false)).toThrow("cannot be negative");
  expect(() => validateRestartPolicy({ Name: "always" }, true)).toThrow("can't create 'AutoRemove' container with restart policy");
});
