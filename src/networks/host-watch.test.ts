import { expect, test } from "bun:test";
import { logOf } from "../base/log.ts";
import { libc } from "../linux/libc.ts";
import type { Context } from "./context.ts";
import { HostWatch } from "./host-watch.ts";

const EFD_CLOEXEC = 0o2000000;

test("one look at a time, however long it takes", async () => {
  const looks: ((found: object) => void)[] = [];
  const second = Promise.withResolvers<void>();
  const answers: Record<string, () => unknown> = {
    listenToRules: () => libc().eventfd(0, EFD_CLOEXEC),
    openForeign: () => [],
    lookAtRules: () =>
      new Promise((resolve) => {
        looks.push(resolve);
        if (looks.length === 2) second.resolve();
      }),
  };
  const kernel = { do: async (job: string) => answers[job]?.() };
  const context = { kernel, log: logOf("networks"), options: { table: "lighter", bridgeName: "lighter0" } } as unknown as Context;
  const found = { ours: false, others: false, polled: true };
  const watch = new HostWatch(context);
  await watch.start();
  // Within this time two more would have been due.
  await Bun.sleep(2300);
  expect(looks).toHaveLength(1);
  looks[0]?.(found);
  await second.promise;
  const ended = watch[Symbol.asyncDispose]();
  looks[1]?.(found);
  await ended;
  expect(looks).toHaveLength(2);
});
