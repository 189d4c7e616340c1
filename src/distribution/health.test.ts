import { expect, test } from "bun:test";
import { Health } from "./health.ts";

test("a mirror that fails is left out, longer each time, and asked again; a success forgets", () => {
  let now = 0;
  const health = new Health(() => now);
  expect(health.failure("a")).toBeUndefined();
  health.failed("a", "one");
  health.failed("a", "two");
  expect(health.failure("a")).toEqual({ reason: "one", until: 30_000 });
  expect(health.failure("b")).toBeUndefined();
  now = 30_000;
  expect(health.failure("a")).toBeUndefined();
  health.failed("a", "three");
  expect(health.failure("a")).toEqual({ reason: "three", until: 90_000 });
  for (let count = 0; count < 20; count++) {
    now = health.failure("a")?.until ?? now;
    health.failed("a", "again");
  }
  expect((health.failure("a")?.until ?? 0) - now).toBe(600_000);
  now = health.failure("a")?.until ?? now;
  health.succeeded("a");
  health.failed("a", "anew");
  expect((health.failure("a")?.until ?? 0) - now).toBe(30_000);
  health.clear();
  expect(health.failure("a")).toBeUndefined();
});
