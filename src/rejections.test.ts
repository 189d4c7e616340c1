import { expect, test } from "bun:test";

/** Runs in a process of its own: the test runner has an opinion on unhandled rejections, too. */
const SCRIPT = `
import { configure, getLogfmtFormatter } from "@logtape/logtape";
import { LighterError } from "${import.meta.dir}/base/errors.ts";
import { logRejections } from "${import.meta.dir}/rejections.ts";
const format = getLogfmtFormatter();
await configure({
  sinks: { out: (record) => process.stdout.write(format(record)) },
  loggers: [{ category: ["lighter"], sinks: ["out"] }, { category: ["logtape", "meta"], sinks: [] }],
});
using _ = logRejections();
void Promise.reject(new LighterError("internal", "first one"));
await Bun.sleep(10);
void Promise.reject("second one");
await Bun.sleep(10);
process.stdout.write("alive\\n");
`;

test("a rejection that nobody handles is told with its stack and counted, and the process lives on", async () => {
  const child = Bun.spawn([process.execPath, "-e", SCRIPT], { cwd: import.meta.dir, stdout: "pipe", stderr: "pipe" });
  const [first = "", second = "", last, ...rest] = (await child.stdout.text()).trimEnd().split("\n");
  expect(first).toMatch(/level=error logger=lighter.daemon msg="unhandled rejection 1: first one".* stack=".*first one.*at /);
  expect(second).toContain('msg="unhandled rejection 2: second one"');
  expect([last, ...rest, await child.exited]).toEqual(["alive", 0]);
});
