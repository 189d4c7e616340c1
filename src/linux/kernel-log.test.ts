import { expect, test } from "bun:test";
import { isOomKill } from "./kernel-log.ts";

/** As Linux 6.18 writes it. */
const record = (cgroup: string): string =>
  `6,1234,12298918834,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c0,mems_allowed=0,oom_memcg=/lighter.slice,` +
  `task_memcg=${cgroup},task=sh,pid=1244,uid=0\n SUBSYSTEM=x\n`;

test("a kill for want of memory is told by the cgroup of who was killed, and by its time", () => {
  const scope = "/lighter.slice/lighter-35df.scope";
  expect(isOomKill(record(scope), scope, 12_290)).toBe(true);
  expect(isOomKill(record(`${scope}/below`), scope, 12_290)).toBe(true);
  expect(isOomKill(record(scope), scope, 12_310)).toBe(false);
  expect(isOomKill(record(`${scope}x`), scope, 12_290)).toBe(false);
  expect(isOomKill(record("/lighter.slice"), scope, 12_290)).toBe(false);
  expect(isOomKill(`6,1,12298918834,-;oom_reaper: reaped process 1244 (sh), task_memcg=${scope}`, scope, 12_290)).toBe(false);
  expect(isOomKill("", scope, 0)).toBe(false);
});
