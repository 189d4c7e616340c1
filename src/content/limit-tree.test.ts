import { expect, test } from "bun:test";
import { canLimitTrees, limitOfTreeJob, limitTreeJob, unlimitTree } from "./limit-tree.ts";

// What a file system with project quotas does is shown in tests/machine.vm.ts: this kernel may have none.
test("a file system without project quotas is told apart, and refused with a sentence", async () => {
  expect(canLimitTrees("/proc")).toBe(false);
  expect(canLimitTrees("/proc/there-is-none")).toBe(false);
  const refused: unknown = await limitTreeJob({ paths: ["/proc"], bytes: 1 }, new AbortController()).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(String(refused)).toContain('Cannot limit the size of "/proc": its file system has no project quotas');
  expect(await limitOfTreeJob({ path: "/proc" })).toBeUndefined();
  unlimitTree("/proc/there-is-none");
});
