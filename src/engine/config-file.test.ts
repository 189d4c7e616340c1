import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { editConfigFile } from "./config-file.ts";

let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "lighter-config-"))));
afterAll(() => rm(folder, { recursive: true }));

const read = (path: string): Promise<string> => Bun.file(path).text();

test("other keys, their order, the indent and the mode stay; nothing else is left beside", async () => {
  const path = join(folder, "a", "daemon.json");
  await Bun.write(path, '{\n\t"z": [1],\n\t"b": {"c": null}\n}');
  await chmod(path, 0o600);
  await editConfigFile(path, (json) => (json["mirrors"] = { x: ["https://y"] }));
  expect(await read(path)).toBe(
    '{\n\t"z": [\n\t\t1\n\t],\n\t"b": {\n\t\t"c": null\n\t},\n\t"mirrors": {\n\t\t"x": [\n\t\t\t"https://y"\n\t\t]\n\t}\n}\n',
  );
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(join(folder, "a"))).toEqual(["daemon.json"]);
});

test("a file that is missing is made, with its folder; a link stays a link", async () => {
  const path = join(folder, "new", "deep", "daemon.json");
  await editConfigFile(path, (json) => (json["debug"] = true));
  expect(await read(path)).toBe('{\n  "debug": true\n}\n');
  const link = join(folder, "link.json");
  await symlink(path, link);
  await editConfigFile(link, (json) => (json["debug"] = false));
  expect(await read(path)).toBe('{\n  "debug": false\n}\n');
  expect((await stat(link)).isFile()).toBe(true);
});

test.each(["{", "[]", "7"])("%j is left as it is", async (text) => {
  const path = join(folder, "broken.json");
  await Bun.write(path, text);
  const failed: unknown = await editConfigFile(path, (json) => (json["debug"] = true)).catch((error: unknown) => error);
  expect((failed as Error).message).toContain(`Cannot change the configuration file "${path}"`);
  expect(await read(path)).toBe(text);
});
