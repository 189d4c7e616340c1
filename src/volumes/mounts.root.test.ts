import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Content } from "../content/content.ts";
import { openContent } from "../content/open.ts";
import { openDistribution } from "../distribution/open.ts";
import { State } from "../state/state.ts";
import { isMounted } from "./local-mount.ts";
import { openVolumes } from "./open.ts";
import { POPULATED, setPopulated } from "./rows.ts";
import type { Volumes } from "./volumes.ts";

const distribution = openDistribution({ insecureRegistries: [], registryMirrors: [], certificateDirectories: [], userAgent: "test" });
let dataRoot: string;
let state: State;
let content: Content;
let volumes: Volumes;

beforeAll(async () => {
  dataRoot = mkdtempSync(join(tmpdir(), "lighter-volume-mounts-"));
  state = new State(join(dataRoot, "state.db"));
  content = await openContent({ dataRoot, state, roots: [] });
  volumes = openVolumes({ state, content, distribution, dataRoot });
});
afterAll(async () => {
  await content?.settled();
  state?.close();
  for (const line of (await Bun.file("/proc/self/mountinfo").text()).split("\n").toReversed()) {
    const target = line.split(" ")[4] ?? "";
    if (target.startsWith(`${dataRoot}/`)) Bun.spawnSync(["umount", "-l", target]);
  }
  rmSync(dataRoot, { recursive: true, force: true });
});

const data = (name: string): string => join(dataRoot, "volumes", name, "_data");
const memory = (name: string): Promise<unknown> => volumes.create({ name, driverOptions: { type: "tmpfs", device: "tmpfs" } });
const use = (name: string, container: string): Promise<string> => volumes.ready(name, { copyFrom: undefined, container });

function sh(...command: string[]): void {
  expect([command.join(" "), Bun.spawnSync(command).exitCode]).toEqual([command.join(" "), 0]);
}

test("what is mounted from elsewhere stays for as long as a container uses it, and comes back for the next", async () => {
  await memory("ram");
  expect(isMounted(data("ram"))).toBe(false);
  await Promise.all(["one", "two", "two"].map((container) => use("ram", container)));
  await volumes.release("one");
  await volumes.release("stranger");
  expect(isMounted(data("ram"))).toBe(true);
  await volumes.release("two", new Set(["ram"]));
  expect(isMounted(data("ram"))).toBe(true);
  await volumes.release("two");
  expect(isMounted(data("ram"))).toBe(false);

  // One ends while the next begins: whatever comes first, it is mounted in the end.
  await use("ram", "ends");
  await Promise.all([volumes.release("ends"), use("ram", "begins")]);
  expect(isMounted(data("ram"))).toBe(true);
  await volumes.release("begins");
  expect(isMounted(data("ram"))).toBe(false);
});

test("one that is busy is unmounted all the same; a mount that fails leaves nothing to be released", async () => {
  await memory("busy");
  const path = await use("busy", "one");
  const file = openSync(join(path, "open"), "w");
  await volumes.release("one");
  expect(isMounted(path)).toBe(false);
  closeSync(file);
  await volumes.create({ name: "broken", driverOptions: { type: "none", device: join(dataRoot, "absent"), o: "bind" } });
  expect(await use("broken", "one").catch(() => "failed")).toBe("failed");
  await volumes.release("one");
});

test("who reads a volume's files keeps it mounted until they are read", async () => {
  const source = join(dataRoot, "source");
  mkdirSync(source);
  writeFileSync(join(source, "file"), "of elsewhere");
  await volumes.create({ name: "bound", driverOptions: { type: "none", device: source, o: "bind" } });
  const archive = await volumes.backup("bound");
  expect(isMounted(data("bound"))).toBe(true);
  await use("bound", "one");
  await volumes.release("one");
  expect(isMounted(data("bound"))).toBe(true);
  await Array.fromAsync(archive);
  for (let left = 200; isMounted(data("bound")) && left > 0; left--) await Bun.sleep(50);
  expect(isMounted(data("bound"))).toBe(false);
  expect(readdirSync(source)).toEqual(["file"]);
});

test("mounts below the source of a recursive bind outlive it, though they are shared", async () => {
  const source = join(dataRoot, "tree");
  mkdirSync(source);
  sh("mount", "-t", "tmpfs", "tmpfs", source);
  sh("mount", "--make-shared", source);
  mkdirSync(join(source, "sub"));
  sh("mount", "-t", "tmpfs", "tmpfs", join(source, "sub"));
  writeFileSync(join(source, "sub/file"), "");
  await volumes.create({ name: "deep", driverOptions: { type: "none", device: source, o: "rbind" } });
  expect(existsSync(join(await use("deep", "one"), "sub/file"))).toBe(true);
  await volumes.release("one");
  expect(isMounted(data("deep"))).toBe(false);
  expect(existsSync(join(source, "sub/file"))).toBe(true);
});

test("mounts that come below the source of a bind while it is used outlive it", async () => {
  const source = join(dataRoot, "shared");
  mkdirSync(source);
  sh("mount", "-t", "tmpfs", "tmpfs", source);
  sh("mount", "--make-shared", source);
  mkdirSync(join(source, "sub"));
  await volumes.create({ name: "flat", driverOptions: { type: "none", device: source, o: "rw,bind" } });
  const path = await use("flat", "one");
  sh("mount", "-t", "tmpfs", "tmpfs", join(source, "sub"));
  writeFileSync(join(source, "sub/file"), "");
  expect(existsSync(join(path, "sub/file"))).toBe(true);
  await volumes.release("one");
  expect(isMounted(data("flat"))).toBe(false);
  expect(existsSync(join(source, "sub/file"))).toBe(true);
});

test("below a data root that is a link, too, what is mounted is found, and is not deleted with its volume", async () => {
  const source = join(dataRoot, "elsewhere");
  mkdirSync(source);
  writeFileSync(join(source, "file"), "");
  const link = join(dataRoot, "link");
  symlinkSync(dataRoot, link);
  const linked = openVolumes({ state, content, distribution, dataRoot: link });
  await linked.create({ name: "linked", driverOptions: { type: "none", device: source, o: "bind" } });
  expect(readdirSync(await linked.ready("linked", { copyFrom: undefined, container: "one" }))).toEqual(["file"]);
  await linked.release("one");
  expect(readdirSync(data("linked"))).toEqual([]);
  await linked.ready("linked", { copyFrom: undefined, container: "one" });
  await linked.remove("linked", { force: false });
  await content.settled();
  expect(readdirSync(source)).toEqual(["file"]);
  expect(isMounted(data("linked"))).toBe(false);
});

test("a copy into what is mounted from elsewhere that was cut short takes back its own files only", async () => {
  const [source, image] = [join(dataRoot, "filled"), join(dataRoot, "image")];
  mkdirSync(source);
  mkdirSync(image);
  for (const file of [join(source, "own"), join(source, "copied"), join(image, "copied")]) writeFileSync(file, "");
  await volumes.create({ name: "cut", driverOptions: { type: "none", device: source, o: "bind" } });
  state.write((tx) => setPopulated(tx, "cut", POPULATED.copying), { durable: false });
  await volumes.ready("cut", { copyFrom: undefined, container: "one" });
  expect(readdirSync(source).sort()).toEqual(["copied", "own"]);
  await volumes.ready("cut", { copyFrom: () => Promise.resolve({ path: image, done: () => undefined }), container: "one" });
  expect(readdirSync(source)).toEqual(["own"]);
  await volumes.release("one");
});

test("the next daemon keeps what running containers use, and unmounts the rest", async () => {
  for (const name of ["kept", "left"]) {
    await memory(name);
    await use(name, "gone");
  }
  state.write(
    (tx) => {
      for (const [container, name] of [
        ["runs", "kept"],
        ["ended", "left"],
      ] as const) {
        tx.run(
          "INSERT INTO containers (id, name, created, config_json, image, manifest, runtime, status) VALUES (?, ?, 1, '{}', '', '', '', 'created')",
          container,
          container,
        );
        volumes.reference(tx, { name, anonymous: false, container, destination: "/v" });
      }
    },
    { durable: false },
  );
  const next = openVolumes({ state, content, distribution, dataRoot });
  await next.adopt(new Set(["runs"]));
  expect(["kept", "left"].map((name) => isMounted(data(name)))).toEqual([true, false]);
  await next.release("runs");
  expect(isMounted(data("kept"))).toBe(false);
});

/** Machines lock their users out of FUSE. */
function hasFuse(): boolean {
  try {
    closeSync(openSync("/dev/fuse", "r+"));
    return true;
  } catch {
    return false;
  }
}

test.if(hasFuse())("a volume whose server is gone is told as such among the others that are measured", async () => {
  await volumes.create({ name: "far", driverOptions: { type: "nfs", device: ":/x", o: "addr=127.0.0.1" } });
  await volumes.create({ name: "near" });
  const server = openSync("/dev/fuse", "r+");
  const options = "fd=3,rootmode=40000,user_id=0,group_id=0";
  const mounted = Bun.spawnSync(["mount", "-i", "-t", "fuse", "-o", options, "none", data("far")], {
    stdio: ["ignore", "ignore", "ignore", server],
  });
  closeSync(server);
  expect(mounted.exitCode).toBe(0);
  const measures = await volumes.measure(["far", "near"]);
  expect(measures.sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
    { name: "far", bytes: 0, files: 0, containers: 0, unreachable: expect.stringMatching(/^Cannot use volume "far": :\/x: /) as string },
    { name: "near", bytes: expect.any(Number) as number, files: 0, containers: 0 },
  ]);
  sh("umount", "-l", data("far"));
});
