import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { endTree } from "./process-tree.ts";

/** First process of a namespace: says how each child ends, its own and those that became its own. */
const FIRST = `
use POSIX qw(setsid);
$| = 1;
unless (fork) { setsid; exec "sh", "-c", "sh -c 'sleep 1001; true'; true" }
print "child ended by ", $? & 127, "\\n" while wait > 0;
`;

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
}

async function onlyChildOf(pid: number): Promise<number> {
  for (;;) {
    const [child] = childrenOf(pid);
    if (child !== undefined) return child;
    await Bun.sleep(5);
  }
}

test("children end before their parents: the first process of the namespace gets none that was killed", async () => {
  const namespace = Bun.spawn(["unshare", "--pid", "--fork", "--kill-child", "perl", "-e", FIRST], { stdout: "pipe" });
  const first = await onlyChildOf(namespace.pid);
  const outer = await onlyChildOf(first);
  const inner = await onlyChildOf(outer);
  const sleeper = await onlyChildOf(inner);
  await endTree(outer, () => [first, outer, inner, sleeper, process.pid]);
  // One end alone is told: of the child that the namespace's first process has started itself.
  expect(await namespace.stdout.text()).toMatch(/^child ended by \d+\n$/);
});
