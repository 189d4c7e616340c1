import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { CONTAINER_FLAGS } from "./container-flags.ts";
import { checkPullPolicy } from "./create-container.ts";
import { createBody, windowsOnly } from "./create-body.ts";
import facts from "./create-body.facts.json";
import { parseFlags } from "./parse.ts";

/** Recorded from docker 28.2 by a socket that writes down what it sends; zero values, which Go sends and we leave out, are left out. */
interface Fact {
  args: string[];
  query?: Record<string, string>;
  body?: unknown;
  error?: string;
}

const here = process.cwd();
const folder = mkdtempSync(join(tmpdir(), "lighter-body-"));

beforeAll(() => {
  process.chdir(folder);
  writeFileSync("env", "A=1\n# c\nFROM_ENV\nB= two words \nNOPE\n");
  writeFileSync("labels", "l1=x\nl2\n");
  writeFileSync("sec.json", '{"defaultAction": "SCMP_ACT_ALLOW"}');
});

afterAll(() => {
  process.chdir(here);
  rmSync(folder, { recursive: true });
});

/** Maps whose entries may be empty without being absent. */
const MAPS = new Set(
  "Labels EndpointsConfig Volumes ExposedPorts Annotations Sysctls Tmpfs PortBindings StorageOpt Config Options".split(" "),
);

function withoutZeros(value: unknown, name = ""): unknown {
  if (Array.isArray(value))
    return value.length === 0 ? undefined : value.map((item: unknown) => withoutZeros(item) ?? (typeof item === "object" ? {} : item));
  if (typeof value === "object" && value !== null) {
    const kept: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) {
      const shown = withoutZeros(item, key);
      if (shown !== undefined) kept[key] = shown;
      else if (MAPS.has(name)) kept[key] = typeof item === "object" ? {} : item;
    }
    return Object.keys(kept).length === 0 ? undefined : kept;
  }
  return value === "" || value === 0 || value === false || value === null ? undefined : value;
}

function build(args: string[]): unknown {
  const parsed = parseFlags(CONTAINER_FLAGS, args, { stopAtWord: true });
  const [image = "", ...words] = parsed.args;
  checkPullPolicy(parsed.flags.pull);
  return createBody(parsed.flags, image, words, { given: (name) => parsed.given.has(name), env: { FROM_ENV: "seen" } });
}

for (const fact of facts as Fact[]) {
  test(`create ${fact.args.join(" ")}`, () => {
    if (fact.error !== undefined) {
      let said = "no error";
      try {
        build(fact.args);
      } catch (error) {
        said = messageOf(error);
      }
      expect(said.trim()).toBe(fact.error.replace(/^docker: /, ""));
      return;
    }
    const wanted = JSON.parse(
      JSON.stringify(fact.body).replaceAll("CWD", process.cwd()).replaceAll("PARENT", dirname(process.cwd())),
    ) as Record<string, unknown>;
    expect(withoutZeros(build(fact.args))).toEqual(wanted);
  });
}

test("an empty time to stop is not the same as none", () => {
  expect(build(["--stop-timeout", "0", "busybox"])).toHaveProperty("StopTimeout", 0);
  expect(build(["busybox"])).not.toHaveProperty("StopTimeout");
});

test("what only Windows knows is refused with docker's sentence", () => {
  expect(windowsOnly((name) => name === "cpu-count")).toEqual([
    '"--cpu-count" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux',
  ]);
});

test("what happens to an unhealthy container travels as a label", () => {
  expect(build(["--health-on-failure", "kill", "--label", "a=b", "busybox"])).toHaveProperty("Labels", {
    a: "b",
    "lighter.health-on-failure": "kill",
  });
  expect(() => build(["--health-on-failure", "panic", "busybox"])).toThrow("use none, kill, restart or stop");
});
