import { expect, test } from "bun:test";
import { join } from "node:path";
import { absence } from "./absent.ts";
import { didYouMean, distance } from "./did-you-mean.ts";
import { OWED } from "./owed.ts";
import { resolve } from "./table.ts";

test("the nearest words first, none for what is far from all", () => {
  const words = ["run", "rm", "rmi", "ps", "pull", "push", "images", "inspect", "network", "volume", "exec"];
  expect(didYouMean("rnu", words)).toEqual(["run"]);
  expect(didYouMean("pulll", words)).toEqual(["pull"]);
  expect(didYouMean("isnpect", words)).toEqual(["inspect"]);
  expect(didYouMean("netw", words)).toEqual(["network"]);
  expect(didYouMean("delete", words)).toEqual(["rm"]);
  expect(didYouMean("frobnicate", words)).toEqual([]);
});

test("distance counts what has to be put in, left out, changed or swapped", () => {
  expect([
    distance("", ""),
    distance("run", "run"),
    distance("run", "rn"),
    distance("rn", "run"),
    distance("ran", "run"),
    distance("rnu", "run"),
  ]).toEqual([0, 0, 1, 1, 1, 1]);
});

test("every command of docker's that is not here says why", () => {
  for (const path of Object.keys(OWED)) {
    if (path.includes(" --")) continue;
    const words = path.replace(" *", " ls");
    expect(`${words}: ${resolve(words)}`).toBe(`${words}: undefined`);
    expect(absence(`lighter ${words}`, words)).toMatch(/^lighter .*: .{20}/);
  }
});

test("a flag that is none names the one that may have been meant", async () => {
  expect(await said("run", "--naem", "x", "busybox")).toMatch(
    /^125: unknown flag: --naem\n\nDid you mean --name\?\n\nUsage: {2}lighter run /,
  );
  expect(await said("run", "--frobnicate")).toMatch(/^125: unknown flag: --frobnicate\n\nUsage: {2}lighter run /);
});

async function said(...words: string[]): Promise<string> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "../main.ts"), ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return `${code}: ${out}${err}`;
}

test("what is said of words that are no command", async () => {
  const [wrong, inGroup, swarm] = await Promise.all([said("psu"), said("container", "strat"), said("swarm", "init")]);
  expect(wrong).toMatch(/^1: lighter: unknown command: lighter psu\n\nDid you mean this\?\n {2}lighter ps\n/);
  expect(inGroup).toMatch(/^1: lighter: unknown command: lighter container strat\n\nDid you mean this\?\n {2}lighter container start\n/);
  expect(swarm).toMatch(/^1: lighter swarm: Lighter has no swarm/);
});
