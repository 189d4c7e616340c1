import { afterEach, beforeEach, expect, test } from "bun:test";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openContent } from "../content/open.ts";
import type { Content } from "../content/content.ts";
import { openDistribution } from "../distribution/open.ts";
import { eventsAfter } from "../state/events.ts";
import { State } from "../state/state.ts";
import { openVolumes } from "./open.ts";
import type { Volumes } from "./volumes.ts";

const distribution = openDistribution({ insecureRegistries: [], registryMirrors: [], certificateDirectories: [], userAgent: "test" });
let dataRoot: string;
let state: State;
let content: Content;
let volumes: Volumes;

beforeEach(async () => {
  dataRoot = mkdtempSync(join(tmpdir(), "lighter-volumes-"));
  state = new State(join(dataRoot, "state.db"));
  content = await openContent({ dataRoot, state, roots: [] });
  volumes = openVolumes({ state, content, distribution, dataRoot });
});

afterEach(() => {
  state.close();
  rmSync(dataRoot, { recursive: true, force: true });
});

/** A container that mounts a volume, as far as the tables know. */
function mountBy(container: string, name: string, anonymous = false): void {
  state.write(
    (tx) => {
      tx.run(
        "INSERT OR IGNORE INTO containers (id, name, created, config_json, image, manifest, runtime, status) VALUES (?, ?, 1, '{}', '', '', '', 'created')",
        container,
        container,
      );
      volumes.reference(tx, { name, anonymous, container, destination: `/${name}` });
    },
    { durable: false },
  );
}

const names = (filters: Record<string, string[]>): string[] => volumes.list(new Map(Object.entries(filters))).map(({ Name }) => Name);

test("create is idempotent, shows Docker's fields, and makes the directory", async () => {
  const made = await volumes.create({ name: "data", labels: { a: "1" } });
  expect(made).toEqual({
    CreatedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string,
    Driver: "local",
    Labels: { a: "1" },
    Mountpoint: join(dataRoot, "volumes/data/_data"),
    Name: "data",
    Options: null as never,
    Scope: "local",
  });
  expect(statSync(made.Mountpoint).isDirectory()).toBe(true);
  expect(await volumes.create({ name: "data", labels: { b: "2" } })).toEqual(made);
  expect(volumes.inspect("data")).toEqual(made);
  const anonymous = await volumes.create({});
  expect(anonymous.Name).toMatch(/^[0-9a-f]{64}$/);
  expect(anonymous.Labels).toEqual({ "com.docker.volume.anonymous": "" });
});

test("bad names, drivers and options are refused with Docker's texts", async () => {
  const refused = async (options: Parameters<Volumes["create"]>[0], text: string): Promise<void> => {
    await expect(volumes.create(options)).rejects.toThrow(text);
  };
  await refused({ name: "a" }, "create a: volume name is too short, names should be at least two alphanumeric characters");
  await refused(
    { name: "../up" },
    'create ../up: "../up" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
  );
  await refused({ name: "data", driver: "flocker" }, 'create data: error looking up volume plugin flocker: plugin "flocker" not found');
  await refused({ name: "data", driverOptions: { color: "red" } }, 'create data: invalid option: "color"');
  await refused({ name: "data", driverOptions: { type: "nfs" } }, 'create data: missing required option: "device"');
  await refused({ name: "data", driverOptions: { device: "tmpfs" } }, 'create data: missing required option: "type"');
  expect(volumes.list(new Map())).toEqual([]);
  expect(() => volumes.inspect("data")).toThrow("get data: no such volume");
});

test("a volume in use stays; removed ones are gone with their files", async () => {
  await volumes.create({ name: "data" });
  mountBy("c1", "data");
  mountBy("c2", "data");
  await expect(volumes.remove("data", { force: true })).rejects.toThrow("remove data: volume is in use - [c1, c2]");
  state.write((tx) => tx.run("DELETE FROM containers"), { durable: false });
  await volumes.remove("data", { force: false });
  expect(existsSync(join(dataRoot, "volumes/data"))).toBe(false);
  expect(state.all("SELECT * FROM effects")).toEqual([]);
  await expect(volumes.remove("data", { force: false })).rejects.toThrow("get data: no such volume");
  await volumes.remove("data", { force: true });
});

test("a container's create makes its volumes in the same transaction, and nothing when it fails", () => {
  expect(() =>
    state.write(
      (tx) => {
        volumes.reference(tx, { name: "data", anonymous: false, container: "nobody", destination: "/x" });
      },
      { durable: false },
    ),
  ).toThrow();
  expect(names({})).toEqual([]);
  mountBy("c1", "data");
  mountBy("c1", "0".repeat(64), true);
  expect(names({})).toEqual(["0".repeat(64), "data"]);
});

test("a container takes its anonymous volumes along, unless others use them", async () => {
  const [own, shared] = ["0".repeat(64), "1".repeat(64)];
  for (const name of [own, shared]) mountBy("c1", name, true);
  mountBy("c2", shared, true);
  mountBy("c1", "data");
  const finish = state.write((tx) => volumes.dropAnonymous(tx, "c1"), { durable: false });
  await finish();
  expect(names({})).toEqual([shared, "data"]);
  expect(existsSync(join(dataRoot, "volumes", own))).toBe(false);
  expect(state.all("SELECT * FROM effects")).toEqual([]);
  expect(state.all("SELECT volume FROM volume_references")).toEqual([{ volume: shared }]);
});

test("filters: dangling, driver, label, name", async () => {
  await volumes.create({ name: "web-data", labels: { app: "web" } });
  await volumes.create({ name: "db-data", labels: { app: "db" } });
  mountBy("c1", "db-data");
  expect(names({ dangling: ["true"] })).toEqual(["web-data"]);
  expect(names({ dangling: ["false"] })).toEqual(["db-data"]);
  expect(names({ label: ["app=db"] })).toEqual(["db-data"]);
  expect(names({ label: ["app"], name: ["^web"] })).toEqual(["web-data"]);
  expect(names({ driver: ["other"] })).toEqual([]);
});

test("prune takes unused anonymous volumes, with all=1 the named ones too", async () => {
  await volumes.create({ name: "named" });
  await volumes.create({ name: "used" });
  mountBy("c1", "used");
  const { Name: anonymous, Mountpoint } = await volumes.create({});
  writeFileSync(join(Mountpoint, "file"), Buffer.alloc(8192, 1));
  const first = await volumes.prune(new Map());
  expect(first.deleted).toEqual([anonymous]);
  expect(first.bytes).toBeGreaterThanOrEqual(8192);
  expect((await volumes.prune(new Map([["all", ["1"]]]))).deleted).toEqual(["named"]);
  expect(names({})).toEqual(["used"]);
});

test("a new volume takes the image's content with owner and mode, a filled one stays as it is", async () => {
  await volumes.create({ name: "data" });
  const image = join(dataRoot, "image");
  mkdirSync(image, { mode: 0o750 });
  writeFileSync(join(image, "page"), "from the image");
  if (process.getuid?.() === 0) for (const path of [image, join(image, "page")]) chownSync(path, 33, 44);
  let given = 0;
  const copyFrom = () => Promise.resolve({ path: image, done: () => void given++ });
  const [path] = await Promise.all([volumes.ready("data", { copyFrom }), volumes.ready("data", { copyFrom })]);
  expect(readFileSync(join(path, "page"), "utf8")).toBe("from the image");
  const { mode, uid, gid } = statSync(path);
  expect(mode & 0o777).toBe(0o750);
  if (process.getuid?.() === 0) expect([uid, gid]).toEqual([33, 44]);
  writeFileSync(join(path, "page"), "changed");
  await volumes.ready("data", { copyFrom });
  expect([readFileSync(join(path, "page"), "utf8"), given]).toEqual(["changed", 1]);
});

test("without a source nothing is copied, and a directory that was lost is made again", async () => {
  await volumes.create({ name: "data" });
  rmSync(join(dataRoot, "volumes/data"), { recursive: true });
  const path = await volumes.ready("data", { copyFrom: undefined });
  expect(readdirSync(path)).toEqual([]);
});

test("a copy and a removal that a crash cut short are finished", async () => {
  await volumes.create({ name: "half" });
  const path = join(dataRoot, "volumes/half/_data");
  writeFileSync(join(path, "first"), "1");
  state.write((tx) => tx.run("UPDATE volumes SET populated = 2"), { durable: false });
  const image = join(dataRoot, "image");
  mkdirSync(image);
  for (const name of ["first", "second"]) writeFileSync(join(image, name), name);
  await volumes.ready("half", { copyFrom: () => Promise.resolve({ path: image, done: () => {} }) });
  expect(readdirSync(path).toSorted()).toEqual(["first", "second"]);

  mkdirSync(join(dataRoot, "volumes/gone/_data"), { recursive: true });
  state.write((tx) => tx.run("INSERT INTO effects VALUES ('volume-removal', 'gone', 'gone', '{}')"), { durable: false });
  openVolumes({ state, content, distribution, dataRoot });
  while (state.all("SELECT * FROM effects").length > 0) await Bun.sleep(1);
  expect(existsSync(join(dataRoot, "volumes/gone"))).toBe(false);
});

test("events tell of create, destroy and prune", async () => {
  await volumes.create({ name: "data" });
  await volumes.create({ name: "data" });
  await volumes.remove("data", { force: false });
  await volumes.prune(new Map());
  expect(eventsAfter(state, 0).map(({ action, actor, attributes }) => [action, actor, attributes])).toEqual([
    ["create", "data", { driver: "local" }],
    ["destroy", "data", { driver: "local" }],
    ["prune", "", { reclaimed: "0" }],
  ]);
});

test.if(process.getuid?.() === 0)("driver options mount what they name, and remove unmounts it", async () => {
  await volumes.create({ name: "ram", driverOptions: { type: "tmpfs", device: "tmpfs", o: "size=1m,mode=1770" } });
  const path = await volumes.ready("ram", { copyFrom: undefined });
  expect(await volumes.ready("ram", { copyFrom: undefined })).toBe(path);
  const lines = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(path));
  expect(lines.length).toBe(1);
  expect(lines[0]).toContain("size=1024k");
  await volumes.remove("ram", { force: false });
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(path);

  const source = join(dataRoot, "source");
  mkdirSync(source);
  writeFileSync(join(source, "there"), "");
  await volumes.create({ name: "bound", driverOptions: { type: "none", device: source, o: "bind" } });
  expect(readdirSync(await volumes.ready("bound", { copyFrom: undefined }))).toEqual(["there"]);
  await volumes.remove("bound", { force: false });
  expect(readdirSync(source)).toEqual(["there"]);

  await volumes.create({ name: "broken", driverOptions: { type: "none", device: join(dataRoot, "absent"), o: "bind" } });
  await expect(volumes.ready("broken", { copyFrom: undefined })).rejects.toThrow(
    /^error while mounting volume '.*broken\/_data': failed to mount local volume: mount .*absent:.*: no such file or directory$/,
  );
});

test.if(process.getuid?.() === 0)("who waits for a server while somebody else's copy ends leaves what was copied alone", async () => {
  const { Mountpoint: data } = await volumes.create({ name: "shared", driverOptions: { type: "nfs", device: ":/x", o: "addr=127.0.0.1" } });
  expect(Bun.spawnSync(["mount", "-t", "tmpfs", "tmpfs", data]).exitCode).toBe(0);
  try {
    const image = join(dataRoot, "image");
    mkdirSync(image);
    writeFileSync(join(image, "file"), "image's");
    const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const source = { path: image, done: () => undefined };
    // The thread that copies is there from here on.
    await volumes.create({ name: "plain" });
    await volumes.ready("plain", { copyFrom: () => Promise.resolve(source) });
    const first = volumes.ready("shared", {
      copyFrom: async () => {
        asked.resolve();
        await gate.promise;
        return source;
      },
    });
    await asked.promise;
    // One after the other they ask whether the server answers: the last ones long after the copy has ended.
    const others = Array.from({ length: 20 }, () => volumes.ready("shared", { copyFrom: () => Promise.resolve(source) }));
    gate.resolve();
    await first;
    writeFileSync(join(data, "file"), "the container's");
    await Promise.all(others);
    expect(readFileSync(join(data, "file"), "utf8")).toBe("the container's");
  } finally {
    Bun.spawnSync(["umount", "-l", data]);
  }
});

test("who waits behind another's mount of a server that does not answer goes at once", async () => {
  await volumes.create({ name: "silent", driverOptions: { type: "nfs", device: ":/x", o: "addr=127.0.0.1" } });
  // A mount that hangs, as that of such a server does.
  const [programs, path, began] = [join(dataRoot, "programs"), process.env["PATH"], join(dataRoot, "began")];
  mkdirSync(programs);
  writeFileSync(join(programs, "mount"), `#!/bin/sh\n: > ${began}\nexec sleep 1000\n`, { mode: 0o755 });
  process.env["PATH"] = `${programs}:${path}`;
  try {
    const [one, other] = [new AbortController(), new AbortController()];
    const [first, second] = [one, other].map(({ signal }) =>
      volumes.ready("silent", { copyFrom: undefined, signal }).then(() => "", String),
    );
    while (!existsSync(began)) await Bun.sleep(5);
    other.abort();
    expect(await second).toContain("cancelled");
    one.abort();
    expect(await first).toContain("cancelled");
  } finally {
    process.env["PATH"] = path;
  }
});

test("a volume that no container was started with has no files to move; its new name does, and what is in the way is put aside", async () => {
  mountBy("c1", "fresh");
  state.write((tx) => volumes.unreference(tx, "c1"), { durable: false });
  expect(existsSync(join(dataRoot, "volumes/fresh"))).toBe(false);
  mkdirSync(join(dataRoot, "volumes/renamed/_data"), { recursive: true });
  await volumes.rename("fresh", "renamed");
  expect(names({})).toEqual(["renamed"]);
  await volumes.create({ name: "full" });
  writeFileSync(join(dataRoot, "volumes/full/_data/f"), "x");
  mkdirSync(join(dataRoot, "volumes/moved/_data"), { recursive: true });
  writeFileSync(join(dataRoot, "volumes/moved/_data/stranger"), "");
  await volumes.rename("full", "moved");
  expect(readdirSync(join(dataRoot, "volumes/moved/_data"))).toEqual(["f"]);
  expect(readdirSync(join(dataRoot, "volumes")).filter((name) => name.startsWith(".orphan-"))).toHaveLength(1);
  expect(state.all("SELECT key FROM effects")).toEqual([]);
});

test("a move that a crash cut short is finished by the next daemon, one that was done is left", async () => {
  await volumes.create({ name: "from" });
  writeFileSync(join(dataRoot, "volumes/from/_data/f"), "x");
  const cut = (from: string, to: string): void =>
    state.write(
      (tx) => {
        tx.run("UPDATE volumes SET name = ? WHERE name = ?", to, from);
        tx.run("INSERT INTO effects (kind, key, owner, data_json) VALUES ('volume-move', ?, ?, '{}')", from, to);
      },
      { durable: false },
    );
  cut("from", "to");
  volumes = openVolumes({ state, content, distribution, dataRoot });
  expect(readFileSync(join(dataRoot, "volumes/to/_data/f"), "utf8")).toBe("x");
  cut("gone", "to");
  volumes = openVolumes({ state, content, distribution, dataRoot });
  expect(readFileSync(join(dataRoot, "volumes/to/_data/f"), "utf8")).toBe("x");
  expect(state.all("SELECT key FROM effects")).toEqual([]);
});

test("a volume whose limit nothing keeps any more stays, with its files", async () => {
  const { Mountpoint: data } = await volumes.create({ name: "limited" });
  writeFileSync(join(data, "file"), "");
  // Its file system had project quotas when it was made.
  state.write((tx) => tx.run("UPDATE volumes SET config_json = ?", '{"v":1,"labels":null,"options":{"size":"1m"}}'), { durable: false });
  expect((await volumes.create({ name: "limited" })).Options).toEqual({ size: "1m" });
  const why = (call: Promise<unknown>): Promise<string> => call.then(() => "", String);
  expect(await why(volumes.clone("limited", "copy"))).toContain("has no project quotas");
  expect(await why(volumes.backup("limited"))).toContain("has no project quotas");
  expect(await why(volumes.ready("limited", { copyFrom: undefined }))).toContain("has no project quotas");
  expect(names({})).toEqual(["limited"]);
  expect(readdirSync(data)).toEqual(["file"]);
});

test("what is being copied is neither renamed nor removed; its archive makes files of their own where others were mounted", async () => {
  await volumes.create({ name: "source" });
  writeFileSync(join(dataRoot, "volumes/source/_data/f"), "x");
  const archive = await volumes.backup("source");
  await expect(volumes.rename("source", "other")).rejects.toThrow("volume source is being copied: try again when that is done");
  await expect(volumes.remove("source", { force: true })).rejects.toThrow("is being copied");
  await volumes.restore("copy", archive);
  await volumes.rename("source", "other");
  expect(readFileSync(join(dataRoot, "volumes/copy/_data/f"), "utf8")).toBe("x");
  const left = await volumes.backup("other");
  await left.cancel();
  await volumes.remove("other", { force: false });
  const foreign = new Response(await archiveOf(ELSEWHERE)).body;
  expect((await volumes.restore("own", foreign ?? new ReadableStream())).Options).toBeNull();
});

const ELSEWHERE = JSON.stringify({ v: 1, labels: null, options: { type: "none", o: "bind", device: "/" } });

/** What `volume backup` writes of a volume with this configuration and one file. */
async function archiveOf(config: string): Promise<Uint8Array<ArrayBuffer>> {
  const folder = join(dataRoot, "made");
  mkdirSync(join(folder, "_data"), { recursive: true });
  writeFileSync(join(folder, "volume.json"), JSON.stringify({ ...(JSON.parse(config) as object), name: "made", driver: "local" }));
  writeFileSync(join(folder, "_data/f"), "x");
  return new Uint8Array(await Bun.$`tar -C ${folder} -cf - volume.json _data`.arrayBuffer());
}
