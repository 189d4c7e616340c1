import { expect, test } from "bun:test";
import { killTree, treeOf } from "./process-tree.ts";

test("children, their children, the group and the session belong; siblings and ancestors do not", () => {
  const processes = [
    { pid: 1, parent: 0, group: 1, session: 1 },
    { pid: 20, parent: 21, group: 20, session: 20 },
    { pid: 10, parent: 1, group: 10, session: 10 },
    { pid: 21, parent: 10, group: 21, session: 21 },
    { pid: 30, parent: 1, group: 10, session: 10 },
    { pid: 31, parent: 30, group: 31, session: 31 },
    { pid: 40, parent: 1, group: 40, session: 40 },
  ];
  expect(treeOf(10, processes)).toEqual([20, 10, 21, 30, 31]);
  expect(treeOf(99, processes)).toEqual([]);
});

test("kills what a shell has started, in sessions of their own, too, and nobody else", async () => {
  const other = Bun.spawn(["sleep", "1000"]);
  // A command of bun's own does not lead a session: setsid makes one.
  const shell = Bun.spawn(["setsid", "sh", "-c", "setsid sleep 1001 & sleep 1002 & echo up; wait"], { stdout: "pipe" });
  const reader = shell.stdout.getReader();
  await reader.read();
  const all = (): number[] =>
    [...new Bun.Glob("[0-9]*").scanSync({ cwd: "/proc", onlyFiles: false })].map(Number).filter((pid) => pid >= shell.pid);
  killTree(shell.pid, all);
  expect(await shell.exited).not.toBe(0);
  // The pipe ends once everybody who held it is gone.
  while (!(await reader.read()).done);
  expect(other.exitCode).toBeNull();
  other.kill();
});
