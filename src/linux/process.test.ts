import { expect, test } from "bun:test";
import { closeFd } from "./fd.ts";
import { codeOfStatus, exitStatusOf, openPidfd, signalPidfd } from "./pidfd.ts";
import { isAlive, nameProcess } from "./process.ts";

test("a process is named, found alive, and gone", async () => {
  const child = Bun.spawn(["sleep", "10"]);
  const name = nameProcess(child.pid);
  if (!name) throw new Error("no name");
  expect(isAlive(name)).toBe(true);
  expect(isAlive({ ...name, startTime: name.startTime + 1 })).toBe(false);
  expect(isAlive({ ...name, bootId: "another" })).toBe(false);
  const pidfd = openPidfd(child.pid) ?? -1;
  expect(signalPidfd(pidfd, 9)).toBe(true);
  await child.exited;
  expect(isAlive(name)).toBe(false);
  expect(signalPidfd(pidfd, 9)).toBe(false);
  const status = exitStatusOf(pidfd);
  if (status !== undefined) expect(codeOfStatus(status)).toBe(137);
  closeFd(pidfd);
  expect(openPidfd(child.pid)).toBeUndefined();
});

test("wait statuses", () => {
  expect(codeOfStatus(5 << 8)).toBe(5);
  expect(codeOfStatus(15)).toBe(143);
  expect(codeOfStatus(0x80 | 11)).toBe(139);
});
