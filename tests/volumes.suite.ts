/** Binds and volumes, with copy-up; archives and clones of volumes. Deadline: 120 s. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox", "layered"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

for (const name of CLIENTS) {
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await ground.client(name).run(["run", "--rm", ...args]);
    return code < 125 ? stdout : stderr;
  };

  test(`${name}: a named volume keeps what was written`, async () => {
    const volume = ground.name();
    await run("-v", `${volume}:/v`, "busybox", "sh", "-c", "echo kept > /v/file");
    expect(await run("-v", `${volume}:/v`, "busybox", "cat", "/v/file")).toBe("kept\n");
    expect(await run("-v", `${volume}:/v:ro`, "busybox", "sh", "-c", "touch /v/x 2>/dev/null || echo refused")).toBe("refused\n");
    expect(await run("--mount", `type=volume,source=${volume},target=/w`, "busybox", "cat", "/w/file")).toBe("kept\n");
  });

  test(`${name}: an empty named volume takes the image's content with owners and modes, a used one keeps its own`, async () => {
    const volume = ground.name();
    expect(
      await run("-v", `${volume}:/data`, "layered", "sh", "-c", "cat kept; stat -c %a modes/private modes/setuid; readlink links/soft"),
    ).toBe("one\n600\n4755\nfile\n");
    await run("-v", `${volume}:/data`, "busybox", "sh", "-c", "rm /data/kept; echo mine > /data/own");
    expect(await run("-v", `${volume}:/data`, "layered", "sh", "-c", "ls kept 2>/dev/null; cat own")).toBe("mine\n");
    expect(await run("-v", `${ground.name()}:/data:nocopy`, "layered", "sh", "-c", "ls -A /data")).toBe("");
  });

  test(`${name}: an image's own volume is anonymous and goes with --rm`, async () => {
    const volumes = async (): Promise<number> => {
      const { Volumes } = await ground.daemon.json<{ Volumes: unknown[] | null }>("GET", "/volumes");
      return Volumes?.length ?? 0;
    };
    const before = await volumes();
    expect(await run("layered", "cat", "/volume/seed")).toBe("from the image\n");
    expect(await volumes()).toBe(before);
    const client = ground.client(name);
    const container = ground.name();
    await client.must("run", "--name", container, "layered", "true");
    expect(await volumes()).toBe(before + 1);
    await client.must("rm", "-v", container);
    expect(await volumes()).toBe(before);
  });

  test(`${name}: binds of folders and files, read-only and missing ones`, async () => {
    const folder = ground.path(ground.name());
    await mkdir(folder);
    await Bun.write(join(folder, "file"), "bound\n");
    expect(await run("-v", `${folder}:/b`, "busybox", "sh", "-c", "cat /b/file; echo back > /b/back")).toBe("bound\n");
    expect(await Bun.file(join(folder, "back")).text()).toBe("back\n");
    expect(await run("-v", `${folder}/file:/etc/one:ro`, "busybox", "sh", "-c", "cat /etc/one; echo x >> /etc/one || echo refused")).toBe(
      "bound\nrefused\n",
    );
    await run("-v", `${folder}/made:/m`, "busybox", "true");
    expect((await stat(join(folder, "made"))).isDirectory()).toBe(true);
    const { code, stderr } = await ground
      .client(name)
      .run(["run", "--rm", "--mount", `type=bind,source=${folder}/missing,target=/m`, "busybox", "true"]);
    expect(code).toBe(125);
    expect(stderr).toContain("bind source path does not exist");
  });

  test(`${name}: --tmpfs and --mount type=tmpfs`, async () => {
    expect(
      await run(
        "--tmpfs",
        "/t:size=1m",
        "busybox",
        "sh",
        "-c",
        "grep -c ' /t tmpfs ' /proc/mounts; head -c 2000000 /dev/zero > /t/x 2>/dev/null || echo full",
      ),
    ).toBe("1\nfull\n");
    expect(await run("--mount", "type=tmpfs,target=/t", "busybox", "grep", "-c", " /t tmpfs ", "/proc/mounts")).toBe("1\n");
  });

  test(`${name}: --volumes-from`, async () => {
    const container = ground.name();
    const client = ground.client(name);
    await client.must("create", "--name", container, "-v", "/shared", "busybox");
    await run("--volumes-from", container, "busybox", "sh", "-c", "echo passed > /shared/x");
    expect(await run("--volumes-from", container, "busybox", "cat", "/shared/x")).toBe("passed\n");
    await client.must("rm", "-v", container);
  });
}

test("a volume in use is not removed, and its users are named", async () => {
  await ground.lighter.must("create", "--name", "user", "-v", "used:/v", "busybox");
  const { status, message } = await ground.daemon.failure("DELETE", "/volumes/used");
  expect(status).toBe(409);
  expect(message).toMatch(/volume is in use/);
  await ground.lighter.must("rm", "user");
  expect((await ground.daemon.api("DELETE", "/volumes/used")).status).toBe(204);
});

test("a volume is written to an archive and made again, with owners, links, labels and options", async () => {
  const { lighter } = ground;
  await lighter.must("volume", "create", "--label", "a=b", "origin");
  const fill =
    "cd /v; echo one > f; ln f g; ln -s f l; mkdir d; chown 1000:70000 d; chmod 2750 d; mkfifo p; truncate -s 100M hole; echo x >> hole";
  await lighter.must("run", "--rm", "-v", "origin:/v", "busybox", "sh", "-c", fill);
  const look =
    "cd /v; find . | sort | xargs ls -lnd --time-style=+%s 2>/dev/null || ls -lnR; cat f; sha256sum hole; stat -c '%h %b' f hole";
  const seen = async (volume: string): Promise<string> =>
    await lighter.must("run", "--rm", "-v", `${volume}:/v`, "busybox", "sh", "-c", look);
  const before = await seen("origin");
  for (const compress of ["zstd", "gzip", "none"]) {
    const file = ground.path(`origin.${compress}`);
    await lighter.must("volume", "backup", "--compress", compress, "-o", file, "origin");
    expect(Bun.file(file).size).toBeLessThan(2_000_000);
    expect(await lighter.must("volume", "restore", "-i", file, `again-${compress}`)).toBe(`again-${compress}`);
    expect(await seen(`again-${compress}`)).toBe(before);
    const shape = "{{json .Labels}} {{json .Options}} {{.Driver}}";
    expect(await lighter.must("volume", "inspect", "-f", shape, `again-${compress}`)).toBe(
      await lighter.must("volume", "inspect", "-f", shape, "origin"),
    );
  }
  const { code, stderr } = await lighter.run(["volume", "restore", "-i", ground.path("origin.zstd"), "origin"]);
  expect([code, stderr]).toEqual([1, "Error response from daemon: create origin: a volume of that name exists\n"]);
  await Bun.write(ground.path("not-ours"), "nothing of the kind".repeat(100));
  expect((await lighter.run(["volume", "restore", "-i", ground.path("not-ours"), "odd"])).code).toBe(1);
  expect((await lighter.run(["volume", "inspect", "odd"])).code).toBe(1);
});

test("a clone of one moment while its container writes; another name; what is in use stays", async () => {
  const { lighter } = ground;
  const write = "i=0; while :; do i=$((i+1)); for f in a b; do echo $i > /v/new; mv /v/new /v/$f; done; done";
  await lighter.must("run", "-d", "--name", "writer", "-v", "busy:/v", "busybox", "sh", "-c", write);
  await until("it has written", async () => (await lighter.run(["exec", "writer", "cat", "/v/b"])).code === 0);
  expect(await lighter.must("volume", "clone", "--pause", "busy", "moment")).toBe("moment");
  const [a = 0, b = 0] = (await lighter.must("run", "--rm", "-v", "moment:/v", "busybox", "cat", "/v/a", "/v/b")).split("\n").map(Number);
  expect(a - b === 0 || a - b === 1).toBe(true);
  expect(await lighter.must("inspect", "-f", "{{.State.Status}}", "writer")).toBe("running");
  // As a daemon that is killed in the middle of a copy leaves it.
  await lighter.must("pause", "writer");
  await ground.daemon.end("SIGKILL");
  const id = ((): string => {
    using db = new Database(join(ground.daemon.dataRoot, "state.db"));
    const row = db.query("SELECT id FROM containers WHERE name = 'writer'").get() as { id: string };
    db.run("INSERT INTO effects (kind, key, owner, data_json) VALUES ('freeze', ?, ?, '{}')", [row.id, row.id]);
    return row.id;
  })();
  await ground.daemon.start();
  expect(await lighter.must("inspect", "-f", "{{.State.Status}} {{.Id}}", "writer")).toBe(`running ${id}`);
  const used = await lighter.run(["volume", "mv", "busy", "other"]);
  expect([used.code, used.stderr]).toEqual([1, expect.stringMatching(/volume is in use - \[[0-9a-f]{64}\]/)]);
  await lighter.must("volume", "mv", "moment", "renamed");
  expect((await lighter.must("run", "--rm", "-v", "renamed:/v", "busybox", "cat", "/v/a")).trim()).toBe(String(a));
  expect((await lighter.run(["volume", "inspect", "moment"])).code).toBe(1);
  expect((await lighter.run(["volume", "mv", "renamed", "busy"])).stderr).toContain("a volume of that name exists");
  expect((await lighter.run(["volume", "mv", "renamed", "../x"])).code).toBe(1);
  await lighter.must("rm", "-fv", "writer");
});
