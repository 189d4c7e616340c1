import { afterAll, expect, test } from "bun:test";
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CgroupHost } from "./cgroup-host.ts";
import { cgroupWarmer } from "./warm-cgroups.ts";

const root = mkdtempSync(join(tmpdir(), "lighter-warm-"));
afterAll(() => rmSync(root, { recursive: true }));

function isOpen(path: string): boolean {
  return readdirSync("/proc/self/fd").some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  });
}

test("a move that is under way at the end goes to no other file, and no descriptor stays", async () => {
  const tasks = join(root, "monitors/tasks");
  mkdirSync(join(root, "monitors"));
  writeFileSync(tasks, `${readdirSync("/proc/self/task")[0]}\n`);
  const host: CgroupHost = { version: 1, hybrid: false, mounts: new Map([["freezer", root]]), controllers: [], unified: "" };
  const others: number[] = [];
  for (let i = 0; i < 30; i++) {
    const warmer = cgroupWarmer(host, [join(root, "monitors")]);
    warmer.hint();
    warmer.close();
    others.push(openSync(join(root, `other${i}`), "w"));
  }
  for (let tries = 0; isOpen(tasks); tries++) {
    expect(tries).toBeLessThan(2000);
    await Bun.sleep(5);
  }
  for (let i = 0; i < others.length; i++) {
    closeSync(others[i] ?? -1);
    expect(readFileSync(join(root, `other${i}`), "utf8")).toBe("");
  }
});
