import { expect, test } from "bun:test";
import { environmentOf, execEnvironment } from "./environment.ts";

const OWN = { Env: ["A=1", "PATH=/bin"], Tty: true };

test("a container with a terminal has TERM, an exec in it only with a terminal of its own", () => {
  expect(environmentOf(OWN, "web", "/root")).toEqual(["PATH=/bin", "HOSTNAME=web", "TERM=xterm", "A=1", "HOME=/root"]);
  expect(execEnvironment(OWN, "web", "/root", [], false)).toEqual(["PATH=/bin", "HOSTNAME=web", "A=1", "HOME=/root"]);
  expect(execEnvironment({ Env: [] }, "web", "/root", [], true)).toContain("TERM=xterm");
  expect(execEnvironment(OWN, "web", "/root", ["TERM=vt100"], true)).toContain("TERM=vt100");
});

test("what is set last counts, what has no value goes, and an empty HOME is filled in", () => {
  expect(execEnvironment(OWN, "web", "/root", ["A=2", "B=", "PATH"], false)).toEqual(["HOSTNAME=web", "A=2", "B=", "HOME=/root"]);
  expect(execEnvironment({ Env: ["HOME="] }, "web", "/home/ann", [], false)).toContain("HOME=/home/ann");
});
