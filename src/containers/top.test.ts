import { expect, test } from "bun:test";
import { parsePs } from "./top.ts";

const pids = new Set([7, 12]);

test("rows of other processes are left out; the command keeps its words", () => {
  const text = "UID   PID  PPID CMD\nroot    1     0 init\nroot    7     1 sh -c sleep 5\nroot   12     7 sleep 5\n";
  expect(parsePs(text, pids)).toEqual({
    Titles: ["UID", "PID", "PPID", "CMD"],
    Processes: [
      ["root", "7", "1", "sh -c sleep 5"],
      ["root", "12", "7", "sleep 5"],
    ],
  });
});

test("the command may stand before the pid", () => {
  expect(parsePs("COMMAND       PID\nsh -c sleep 5   7\n[k 1]           1\n", pids).Processes).toEqual([["sh -c sleep 5", "7"]]);
});

test("a table without pids is refused in Docker's words", () => {
  expect(() => parsePs("COMMAND\nsh\n", pids)).toThrow("Couldn't find PID field in ps output");
});
