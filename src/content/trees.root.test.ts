import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { $ } from "bun";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { setXattr } from "../linux/files.ts";
import { describeTar, describeTree, type Given, tarOf } from "./layer-fixture.ts";
import { copyTree, diffUpper, packTree, removeTree, statInRoot, treeSize, unpackTree } from "./trees.ts";

const root = process.getuid?.() === 0;
const work = mkdtempSync(join(tmpdir(), "lighter-trees-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

let box: string;
let outside: string;
beforeEach(() => {
  box = mkdtempSync(join(work, "root-"));
  outside = mkdtempSync(join(work, "outside-"));
  writeFileSync(join(outside, "secret"), "secret");
});

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "it did not fail",
    (error: unknown) => error,
  );

async function archive(...args: Parameters<typeof packTree>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(packTree(...args)).arrayBuffer());
}

async function* pieces(bytes: Uint8Array, size = 70_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

/** A tree with everything that a copy may lose. */
async function furnish(directory: string): Promise<void> {
  const script = `mkdir -p d/e; echo content > d/file; ln d/file hard; ln -s ../../../.. d/up; mkfifo -m 622 pipe; mknod null c 1 3
    truncate -s 20M sparse; printf end >> sparse; chown 70000:7 d/file; chmod 4755 d/file; chmod 1777 d/e ; touch -d @1234567890.123456789 d/file d`;
  mkdirSync(directory, { recursive: true });
  await $`bash -ec ${script}`.cwd(directory).quiet();
  setXattr(-100, `${directory}/d/file`, "user.bin", Uint8Array.from([0, 255, 10]));
}

describe.if(root)("packing", () => {
  test("is what GNU tar would read, sorted, from the top entry on", async () => {
    await furnish(join(box, "tree"));
    const bytes = await archive({ root: box, path: "/tree", name: "renamed" });
    const ours = describeTar(bytes);
    expect([...ours.keys()]).toEqual([
      "renamed",
      "renamed/d",
      "renamed/d/e",
      "renamed/d/file",
      "renamed/d/up",
      "renamed/hard",
      "renamed/null",
      "renamed/pipe",
      "renamed/sparse",
    ]);
    writeFileSync(join(work, "ours.tar"), bytes);
    mkdirSync(join(outside, "x"));
    await $`tar -C ${outside}/x --xattrs ${"--xattrs-include=*"} -xpf ${work}/ours.tar`.quiet();
    expect([...(await describeTree(join(outside, "x/renamed")))]).toEqual([...(await describeTree(join(box, "tree")))]);
  });

  test("never leaves the root, by links or dots", async () => {
    symlinkSync(outside, join(box, "abs"));
    symlinkSync(`../../../../..${outside}`, join(box, "rel"));
    for (const path of ["/abs/secret", "/rel/secret", `../../../../..${outside}/secret`])
      expect(await failure(archive({ root: box, path, name: "x" }))).toMatchObject({ kind: "not-found" });
    // A link itself is packed as a link; with a slash, or when asked to, it is followed, inside.
    expect([...describeTar(await archive({ root: box, path: "/abs", name: "abs" })).values()][0]).toContain(outside);
    mkdirSync(join(box, outside), { recursive: true });
    writeFileSync(join(box, outside, "mine"), "x");
    expect([...describeTar(await archive({ root: box, path: "/abs/", name: "n" })).keys()]).toEqual(["n", "n/mine"]);
    expect([...describeTar(await archive({ root: box, path: "/rel", name: "n", follow: true })).keys()]).toEqual(["n", "n/mine"]);
    expect([...describeTar(await archive({ root: box, path: "/abs/mine", name: "other" })).keys()]).toEqual(["other"]);
  });

  test("takes /proc/<pid>/root and descriptors as roots", async () => {
    writeFileSync(join(box, "file"), "x");
    const fd = openSync(box, "r");
    expect([...describeTar(await archive({ root: `/proc/self/fd/${fd}`, path: "/", name: "" })).keys()]).toEqual(["file"]);
    closeSync(fd);
    const bytes = await archive({ root: `/proc/${process.pid}/root`, path: join(box, "file"), name: "file" });
    expect([...describeTar(bytes).keys()]).toEqual(["file"]);
  });

  test("stops when the reader goes", async () => {
    for (let index = 0; index < 30; index++) writeFileSync(join(box, `f${index}`), Buffer.alloc(1_000_000));
    const reader = packTree({ root: box, path: "/", name: "all" }).getReader();
    expect((await reader.read()).value?.length).toBe(1 << 20);
    await reader.cancel();
    const stop = new AbortController();
    const reading = archive({ root: box, path: "/", name: "all" }, { signal: stop.signal });
    stop.abort();
    expect(await failure(reading)).toMatchObject({ kind: "cancelled" });
  });
});

describe.if(root)("unpacking into a root", () => {
  const put = (entries: Given[], path: string, options: object = {}): Promise<void> =>
    unpackTree({ root: box, path, ...options }, pieces(tarOf(entries)));

  test("makes parents, replaces files, describes directories, takes gzip", async () => {
    mkdirSync(join(box, "here/d"), { recursive: true });
    writeFileSync(join(box, "here/f"), "old");
    const entries: Given[] = [
      { path: "d/", mode: 0o2711, uid: 3, mtime: 5n * 10n ** 9n },
      { path: "d/new", data: "1", uid: 8 },
      { path: "f", data: "new" },
      { path: "p/q/r", data: "2" },
      { path: "h", type: "link", link: "f" },
    ];
    await unpackTree({ root: box, path: "/here" }, pieces(gzipSync(tarOf(entries)), 10));
    expect(lstatSync(join(box, "here/d"))).toMatchObject({ uid: 3, mtimeMs: 5000 });
    expect(lstatSync(join(box, "here/d")).mode & 0o7777).toBe(0o2711);
    expect(readFileSync(join(box, "here/f"), "utf8")).toBe("new");
    expect(lstatSync(join(box, "here/h")).nlink).toBe(2);
    expect(lstatSync(join(box, "here/d/new")).uid).toBe(8);
    await put([{ path: "owned/x" }], "/here", { owner: { uid: 11, gid: 12 } });
    expect(lstatSync(join(box, "here/owned/x"))).toMatchObject({ uid: 11, gid: 12 });
  });

  test("cannot be led outside by links of the root or of the archive", async () => {
    symlinkSync(outside, join(box, "abs"));
    symlinkSync(join(outside, "secret"), join(box, "file"));
    await put([{ path: "file", data: "evil" }], "/");
    const through: Given[] = [
      { path: "l", type: "symlink", link: outside },
      { path: "l/secret", data: "evil" },
    ];
    expect(await failure(put(through, "/"))).toMatchObject({ kind: "invalid" });
    mkdirSync(join(box, outside), { recursive: true });
    await put(through, "/");
    expect(readFileSync(join(box, outside, "secret"), "utf8")).toBe("evil");
    expect(await failure(put([{ path: "x" }], "/abs"))).toBe("it did not fail");
    expect(await failure(put([{ path: "../../x" }], "/"))).toMatchObject({ kind: "invalid" });
    expect(await failure(put([{ path: "h", type: "link", link: `abs/secret2` }], "/"))).toMatchObject({ kind: "invalid" });
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
    expect(existsSync(join(box, outside, "x"))).toBe(true);
  });

  test("refuses what Docker refuses, with its texts", async () => {
    writeFileSync(join(box, "file"), "");
    mkdirSync(join(box, "dir"));
    expect(await failure(put([], "/none"))).toMatchObject({ kind: "not-found" });
    expect(String(await failure(put([], "/file")))).toContain("extraction point is not a directory");
    const strict = { noOverwriteDirNonDir: true };
    expect(String(await failure(put([{ path: "dir" }], "/", strict)))).toContain('cannot overwrite directory "dir" with non-directory "/"');
    expect(String(await failure(put([{ path: "file/" }], "/", strict)))).toContain(
      'cannot overwrite non-directory "file" with directory "/"',
    );
    await put([{ path: "dir" }, { path: "file/" }], "/");
    expect([lstatSync(join(box, "dir")).isFile(), lstatSync(join(box, "file")).isDirectory()]).toEqual([true, true]);
    expect(await failure(unpackTree({ root: box, path: "/" }, pieces(Buffer.from("garbage".repeat(200)))))).toMatchObject({
      kind: "invalid",
    });
  });

  test("a source that breaks and a cancel end it", async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield tarOf([{ path: "a" }]).subarray(0, 100);
      await Bun.sleep(1);
      throw new Error("the client went away");
    }
    expect(String(await failure(unpackTree({ root: box, path: "/" }, broken())))).toContain("the client went away");
    const stop = new AbortController();
    const hanging = unpackTree(
      { root: box, path: "/" },
      (async function* () {
        yield new Uint8Array(100);
        await new Promise(() => {});
      })(),
      { signal: stop.signal },
    );
    stop.abort();
    expect(await failure(hanging)).toMatchObject({ kind: "cancelled" });
  });
});

describe.if(root)("copying, adding up, removing, looking up", () => {
  test("a copy is the same tree", async () => {
    await furnish(join(box, "image/data"));
    const target = join(outside, "volume");
    mkdirSync(target);
    symlinkSync("/image/data", join(box, "link"));
    expect(await copyTree({ root: box, path: "/link", target })).toBe(true);
    expect([...(await describeTree(target))]).toEqual([...(await describeTree(join(box, "image/data")))]);
    expect(lstatSync(join(target, "sparse")).blocks).toBeLessThan(100);
    expect(lstatSync(join(target, "d/file")).nlink).toBe(2);
    expect(await copyTree({ root: box, path: "/none", target })).toBe(false);
    expect(await copyTree({ root: box, path: "/image/data/sparse", target })).toBe(false);
  });

  test("what stays in the way deep below is an error soon, not once more on each level above", async () => {
    const [source, target] = [join(box, "deep"), join(outside, "hindered")];
    const below = Array.from({ length: 12 }, (_, level) => `${level}`).join("/");
    mkdirSync(join(source, below, "here"), { recursive: true });
    mkdirSync(join(target, below), { recursive: true });
    writeFileSync(join(target, below, "here"), "a file in the place of a directory");
    const why = await copyTree({ root: box, path: "/deep", target }).then(() => "", String);
    expect(why).toContain("ENOTDIR");
  });

  test("sizes are what du says; removing takes all and nothing else", async () => {
    await furnish(join(box, "t"));
    symlinkSync(outside, join(box, "t/out"));
    const du = Number((await $`du -s -B1 ${box}/t`.quiet().text()).split("\t")[0]);
    expect(await treeSize(join(box, "t"))).toEqual({ bytes: du, inodes: 9 });
    await removeTree(join(box, "t"));
    await removeTree(join(box, "t"));
    expect(readdirSync(box)).toEqual([]);
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect(await treeSize(join(box, "t"))).toEqual({ bytes: 0, inodes: 0 });
  });

  test("a path's state, and where a link leads inside of the root", async () => {
    mkdirSync(join(box, "a/b"), { recursive: true });
    writeFileSync(join(box, "a/b/f"), "12345", { mode: 0o640 });
    symlinkSync("../../../a/b/none/../f", join(box, "a/l"));
    expect(await statInRoot({ root: box, path: "/a/b/f" })).toMatchObject({ name: "f", size: 5, mode: 0o100640, linkTarget: "" });
    expect(await statInRoot({ root: box, path: "/a/l" })).toMatchObject({ name: "l", linkTarget: "/a/b/f" });
    expect(await statInRoot({ root: box, path: "/" })).toMatchObject({ name: "/" });
    expect(readlinkSync(join(box, "a/l"))).toContain("..");
    expect(await failure(statInRoot({ root: box, path: "/a/none" }))).toMatchObject({ kind: "not-found" });
  });
});

test.if(root)("the changes of an upper directory, as docker diff lists them", async () => {
  const [lower, upper, workdir, merged] = ["lower", "upper", "work", "merged"].map((name) => {
    mkdirSync(join(box, name));
    return join(box, name);
  });
  if (!lower || !upper || !workdir || !merged) throw new Error("unreachable");
  await $`cd ${lower}; mkdir -p etc usr/share var/old; echo 1 > etc/a; echo 1 > etc/b; echo 1 > var/old/x; echo 1 > usr/share/y; echo 1 > gone`.quiet();
  const script = `mount -t overlay overlay -o lowerdir=${lower},upperdir=${upper},workdir=${workdir},redirect_dir=off,metacopy=off,index=off ${merged} && cd ${merged} &&
    echo 2 >> etc/a && rm gone && rm -r var/old && mkdir var/old && echo n > var/old/new && mkdir -p opt/deep && echo 1 > opt/deep/f && echo z > usr/share/z`;
  await $`unshare -m sh -c ${script}`.quiet();
  const changes = await diffUpper({ upper, lower: [lower] });
  expect(changes.map(({ kind, path }) => `${kind} ${path}`)).toEqual([
    "C /etc",
    "C /etc/a",
    "D /gone",
    "A /opt",
    "A /opt/deep",
    "A /opt/deep/f",
    "C /usr",
    "C /usr/share",
    "A /usr/share/z",
    "C /var",
    "C /var/old",
    "A /var/old/new",
    "D /var/old/x",
  ]);
});
