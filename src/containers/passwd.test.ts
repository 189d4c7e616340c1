import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { lookUp, readFound } from "./image-files.ts";
import { resolveUser } from "./passwd.ts";

const files = {
  passwd: "# users\nroot:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\nbroken\n",
  group: "root:x:0:\nusers:x:100:\nwheel:x:10:root,ann\ndocker:x:999:ann\n",
};

describe("users", () => {
  const cases: [string, string[], ReturnType<typeof resolveUser>][] = [
    ["", [], { uid: 0, gid: 0, additionalGids: [0, 10], home: "/root" }],
    ["ann", [], { uid: 1000, gid: 100, additionalGids: [100, 10, 999], home: "/home/ann" }],
    ["1000", [], { uid: 1000, gid: 100, additionalGids: [100, 10, 999], home: "/home/ann" }],
    ["ann:docker", [], { uid: 1000, gid: 999, additionalGids: [999], home: "/home/ann" }],
    ["7:8", ["wheel", "12"], { uid: 7, gid: 8, additionalGids: [8, 10, 12], home: "/" }],
    ["7", [], { uid: 7, gid: 0, additionalGids: [0], home: "/" }],
    [":users", [], { uid: 0, gid: 100, additionalGids: [100], home: "/root" }],
  ];
  for (const [spec, add, wanted] of cases) test(`"${spec}" with [${add}]`, () => expect(resolveUser(spec, files, add)).toEqual(wanted));

  test("who is not there is refused with Docker's texts", () => {
    expect(() => resolveUser("bob", files)).toThrow("unable to find user bob: no matching entries in passwd file");
    expect(() => resolveUser("ann:crew", files)).toThrow("unable to find group crew: no matching entries in group file");
    expect(() => resolveUser("ann", files, ["crew"])).toThrow("unable to find group crew: no matching entries in group file");
    expect(() => resolveUser("2147483648", files)).toThrow("uids and gids must be in range 0-2147483647");
  });

  test("a root without the files knows numbers only", () => {
    expect(resolveUser("5", { passwd: "", group: "" })).toEqual({ uid: 5, gid: 0, additionalGids: [0], home: "/" });
    expect(() => resolveUser("root", { passwd: "", group: "" })).toThrow("unable to find user root");
  });
});

describe("files of a stopped root", () => {
  test("upper layers win, links are followed inside of the root", () => {
    const base = mkdtempSync("/tmp/lighter-lookup-");
    for (const name of ["low/etc", "low/usr/lib", "high/etc"]) mkdirSync(`${base}/${name}`, { recursive: true });
    writeFileSync(`${base}/low/etc/passwd`, "low");
    writeFileSync(`${base}/high/etc/passwd`, "high");
    writeFileSync(`${base}/low/usr/lib/group`, "group");
    symlinkSync("../../../../usr/lib/group", `${base}/low/etc/group`);
    symlinkSync("/etc/loop", `${base}/low/etc/loop`);
    symlinkSync("/etc/shadow", `${base}/low/etc/outside`);
    const layers = [`${base}/high`, `${base}/low`];
    expect(lookUp(layers, "/etc/passwd", "file")).toBe(`${base}/high/etc/passwd`);
    expect(lookUp(layers, "/etc/group", "file")).toBe(`${base}/low/usr/lib/group`);
    expect(lookUp(layers, "/etc/../etc/./passwd", "file")).toBe(`${base}/high/etc/passwd`);
    for (const none of ["/etc/loop", "/etc/outside", "/etc", "/none/x"]) expect(lookUp(layers, none, "file")).toBeUndefined();
    rmSync(base, { recursive: true });
  });

  test("what a container puts in a file's place is neither followed nor waited for", async () => {
    const base = mkdtempSync("/tmp/lighter-lookup-");
    mkdirSync(`${base}/etc`);
    writeFileSync(`${base}/etc/passwd`, "own");
    symlinkSync("/etc/passwd", `${base}/etc/link`);
    symlinkSync("/etc", `${base}/out`);
    await Bun.$`mkfifo ${base}/etc/fifo`;
    const texts = ["etc/passwd", "etc/link", "out/passwd", "etc/fifo", "etc", "none"].map((name) => readFound([base], `${base}/${name}`));
    expect(texts).toEqual(["own", "", "own", "", "", ""]);
    rmSync(base, { recursive: true });
  });
});
