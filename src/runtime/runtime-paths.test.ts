import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RuntimePaths } from "./runtime-paths.ts";

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "runtime-paths-"))));
afterAll(async () => await rm(folder, { recursive: true, force: true }));

async function program(name: string, body: string, mode = 0o755): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, mode);
  return path;
}

test("a runtime by path is examined when it is asked for, and what it can do is known then", async () => {
  const path = await program("mine", 'echo "runc version 1.2.3"; echo "spec: 1.2.0"');
  const paths = new RuntimePaths();
  expect(paths.get(path)).toBeUndefined();
  await paths.learn(path);
  expect(paths.get(path)).toMatchObject({ name: path, path, kind: "runc", version: "1.2.3", idmap: true });
});

test("one without a word of the specification is known by its commands", async () => {
  const path = await program("other", 'test "$1" = --help && echo "commands: create delete kill start state" || echo "other 1"');
  const paths = new RuntimePaths();
  await paths.learn(path);
  expect(paths.get(path)).toMatchObject({ name: path, kind: "other" });
});

test("names are another table's", async () => {
  const paths = new RuntimePaths();
  await paths.learn("runc");
  await paths.learn("");
  expect(paths.get("runc")).toBeUndefined();
});

test("what is none is refused with the reason, again and again", async () => {
  const paths = new RuntimePaths();
  const refusal = async (path: string): Promise<string> => {
    const error: unknown = await paths.learn(path).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ kind: "invalid" });
    return (error as Error).message;
  };
  const silent = await program("silent", "exit 0");
  expect(await refusal(silent)).toBe(`Cannot use runtime "${silent}": it does not answer as an OCI runtime`);
  expect(await refusal(silent)).toBe(`Cannot use runtime "${silent}": it does not answer as an OCI runtime`);
  expect(await refusal(join(folder, "none"))).toBe(`Cannot use runtime "${folder}/none": there is no such file`);
  expect(await refusal(folder)).toBe(`Cannot use runtime "${folder}": it is no file`);
  expect(await refusal(await program("plain", "", 0o644))).toBe(`Cannot use runtime "${folder}/plain": it is not executable`);
  expect(await refusal(await program("containerd-shim-x-v2", "exit 0"))).toContain("it is a shim of containerd");
});
