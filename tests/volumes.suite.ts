/** Binds and volumes, with copy-up; archives and clones of volumes. Deadline: 180 s. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chown, mkdir, rm, stat, truncate } from "node:fs/promises";
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
  expect([used.code, used.stderr]).toEqual([
    1,
    'Error response from daemon: rename busy: volume is in use: container "writer" is running: stop it first\n',
  ]);
  await lighter.must("volume", "mv", "moment", "renamed");
  expect((await lighter.must("run", "--rm", "-v", "renamed:/v", "busybox", "cat", "/v/a")).trim()).toBe(String(a));
  expect((await lighter.run(["volume", "inspect", "moment"])).code).toBe(1);
  expect((await lighter.run(["volume", "mv", "renamed", "busy"])).stderr).toContain("a volume of that name exists");
  expect((await lighter.run(["volume", "mv", "renamed", "../x"])).code).toBe(1);
  await lighter.must("rm", "-fv", "writer");
});

test("a volume that containers have gets another name, and they go on with it", async () => {
  const { lighter } = ground;
  await lighter.must("run", "--name", "first", "-v", "before:/v", "-v", "/anonymous", "busybox", "sh", "-c", "echo more >> /v/f; cat /v/f");
  await lighter.must("create", "--name", "second", "--mount", "type=volume,src=before,dst=/w", "busybox", "cat", "/w/f");
  await lighter.must("volume", "mv", "before", "after");
  expect(await lighter.must("start", "-a", "first")).toBe("more\nmore");
  expect(await lighter.must("start", "-a", "second")).toBe("more\nmore");
  expect(await lighter.must("inspect", "-f", "{{(index .HostConfig.Mounts 0).Source}} {{(index .Mounts 0).Name}}", "second")).toBe(
    "after after",
  );
  expect(await lighter.must("inspect", "-f", "{{index .HostConfig.Binds 0}}", "first")).toBe("after:/v");
  expect((await lighter.run(["volume", "rm", "after"])).stderr).toContain("volume is in use");
  // One without a name of its own gets one, and is kept when its container goes.
  const anonymous = await lighter.must(
    "inspect",
    "-f",
    '{{range .Mounts}}{{if eq .Destination "/anonymous"}}{{.Name}}{{end}}{{end}}',
    "first",
  );
  await lighter.must("volume", "mv", anonymous, "named");
  await lighter.must("rm", "-v", "first", "second");
  expect(await lighter.must("volume", "inspect", "-f", "{{.Labels}}", "named", "after")).toBe("map[]\n<nil>");
  await lighter.must("volume", "rm", "named", "after");
});

test("what volumes hold, and what one has against another and against an archive", async () => {
  const { lighter } = ground;
  const fill = "dd if=/dev/zero of=/v/large bs=1M count=2 2> /dev/null; mkdir /v/d; echo one > /v/d/f; echo two > /v/g";
  await lighter.must("run", "--rm", "-v", "held:/v", "busybox", "sh", "-c", fill);
  await lighter.must("create", "--name", "holder", "-v", "held:/v", "busybox");
  await lighter.must("volume", "create", "empty");
  const format = "{{.Name}} {{.Files}} {{.Limit}} {{.Containers}}";
  expect(await lighter.must("volume", "du", "--format", format, "empty", "held")).toBe("held 4 - 1\nempty 0 - 0");
  expect(Number(await lighter.must("volume", "du", "--format", "{{.Bytes}}", "held"))).toBeGreaterThan(2 << 20);
  expect((await lighter.must("volume", "du")).split("\n")[0]).toMatch(/^VOLUME NAME +SIZE +FILES +LIMIT +CONTAINERS$/);
  expect((await lighter.run(["volume", "du", "nope"])).stderr).toBe("Error response from daemon: get nope: no such volume\n");

  const archive = ground.path("held.tar.zst");
  await lighter.must("volume", "backup", "-o", archive, "held");
  await lighter.must("volume", "clone", "held", "changed");
  await lighter.must(
    "run",
    "--rm",
    "-v",
    "changed:/v",
    "busybox",
    "sh",
    "-c",
    "rm /v/d/f; chmod 600 /v/large; echo TWO > /v/g; touch /v/h",
  );
  const changes = "D /d/f\nC /g\nA /h\nC /large";
  expect(await lighter.must("volume", "diff", "changed", "held")).toBe(changes);
  expect(await lighter.must("volume", "diff", "--contents", "changed", archive)).toBe(changes);
  expect(await lighter.must("volume", "diff", "held", archive)).toBe("");
  expect((await lighter.run(["volume", "diff", "held", "nope"])).stderr).toBe("Error response from daemon: get nope: no such volume\n");
  expect((await lighter.run(["volume", "diff", "held", "./nope"])).stderr).toContain("no such file or directory");
  await lighter.must("rm", "holder");
  await lighter.must("volume", "rm", "held", "changed", "empty");
});

test("files of an idmapped mount are the user's inside and the owner's outside", async () => {
  const { lighter } = ground;
  const folder = ground.path("owned");
  await mkdir(folder);
  await chown(folder, 1234, 567);
  const seen = async (path: string): Promise<string> => {
    const { uid, gid } = await stat(path);
    return `${uid}:${gid}`;
  };
  const write = async (user: string, idmap: string, name: string): Promise<string> =>
    await lighter.must(
      ...["run", "--rm", "-u", user, "--mount", `type=bind,src=${folder},dst=/m,${idmap}`, "busybox"],
      ...["sh", "-c", `echo x > /m/${name}; stat -c %u:%g /m/${name}`],
    );
  expect(await write("0:0", "idmap", "root")).toBe("0:0");
  expect(await write("33:33", "idmap", "www")).toBe("33:33");
  expect(await write("0:0", "idmap=4321:765", "named")).toBe("0:0");
  expect(await write("33:33", "idmap=1234:567@33:33", "both")).toBe("33:33");
  expect(await Promise.all(["root", "www", "named", "both"].map((name) => seen(join(folder, name))))).toEqual([
    "1234:567",
    "1234:567",
    "4321:765",
    "1234:567",
  ]);
  // A volume's content of the image, too.
  await lighter.must(
    "run",
    "--rm",
    "--mount",
    "type=volume,src=mapped,dst=/data,idmap=1234:567",
    "layered",
    "sh",
    "-c",
    "test -O /data/kept",
  );
  const data = await lighter.must("volume", "inspect", "-f", "{{.Mountpoint}}", "mapped");
  expect(await seen(join(data, "kept"))).toBe("1234:567");
  const refused = async (mount: string, ...flags: string[]): Promise<string> =>
    (await lighter.run(["run", "--rm", ...flags, "--mount", mount, "busybox", "true"])).stderr;
  expect(await refused("type=tmpfs,dst=/t,idmap")).toContain("cannot mix 'idmap' options with mount type 'tmpfs'");
  expect(await refused(`type=bind,src=${folder},dst=/m,idmap=me`)).toContain("invalid value for idmap: me");
  expect(await refused("type=bind,src=/proc,dst=/m,idmap=1:1")).toMatch(
    /Cannot map the owners of "\/(?:proc|m)": its file system does not allow/,
  );
  await lighter.must("volume", "rm", "mapped");
});

test("the driver's mounts, and their failures in Docker's words; prune leaves what was made with options", async () => {
  const { lighter } = ground;
  const failure = async (...options: string[]): Promise<string> => {
    await lighter.must("volume", "create", ...options.flatMap((option) => ["-o", option]), "broken");
    const { stderr } = await lighter.run(["run", "--rm", "-v", "broken:/v", "busybox", "true"]);
    await lighter.must("volume", "rm", "broken");
    return stderr.replaceAll(ground.daemon.dataRoot, "ROOT").split("\n")[0] ?? "";
  };
  const start =
    "lighter: Error response from daemon: error while mounting volume 'ROOT/volumes/broken/_data': failed to mount local volume: mount";
  expect(await failure("type=none", "device=/not/there", "o=bind")).toBe(
    `${start} /not/there:ROOT/volumes/broken/_data, flags: 0x1000: no such file or directory`,
  );
  expect(await failure("type=tmpfs", "device=tmpfs", "o=bogus=1")).toBe(
    `${start} tmpfs:ROOT/volumes/broken/_data, data: bogus=1: invalid argument`,
  );
  expect((await lighter.run(["volume", "create", "-o", "size=5x", "sized"])).stderr).toBe(
    "Error response from daemon: create sized: invalid size: '5x'\n",
  );
  expect((await lighter.run(["volume", "create", "-o", "size=5m", "-o", "type=tmpfs", "-o", "device=tmpfs", "sized"])).stderr).toContain(
    "leave it away where a device is mounted",
  );
  await lighter.must("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=1000", "memory");
  expect(await lighter.must("run", "--rm", "-v", "memory:/v", "busybox", "sh", "-c", "stat -c %u /v; grep ' /v ' /proc/mounts")).toMatch(
    /^1000\ntmpfs \/v tmpfs rw,.*size=1024k,uid=1000/,
  );
  await lighter.must("volume", "create", "plain");
  const pruned = await lighter.must("volume", "prune", "-af");
  expect(pruned).toContain("plain");
  expect(pruned).not.toContain("memory");
  await lighter.must("volume", "rm", "memory");
});

test("a volume that the image's content does not fit into stays empty, and takes it when there is room", async () => {
  const { lighter } = ground;
  await lighter.must("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=64k", "small");
  const fill = async (): Promise<{ code: number; stderr: string }> =>
    await lighter.run(["run", "--rm", "-v", "small:/bin", "busybox", "true"]);
  const { code, stderr } = await fill();
  expect([code, stderr]).toEqual([
    125,
    expect.stringMatching(/Cannot fill volume "small" with the image's files: .*no space left on device/),
  ]);
  expect(await lighter.must("run", "--rm", "-v", "small:/v", "busybox", "ls", "/v")).toBe("");
  await lighter.must("volume", "rm", "small");
  await lighter.must("volume", "create", "small");
  expect((await fill()).code).toBe(0);
  await lighter.must("volume", "rm", "small");
});

test("a copy of the image's content that a kill of the daemon cut short is made again, whole", async () => {
  const { lighter, daemon } = ground;
  await lighter.must("run", "--rm", "-v", "half:/data", "layered", "true");
  const list = "cd /data; find . | sort; find . -type f -exec cat {} + | md5sum; stat -c '%h %u %a' links/* modes/*";
  const whole = await lighter.must("run", "--rm", "-v", "half:/data", "busybox", "sh", "-c", list);
  const data = await lighter.must("volume", "inspect", "-f", "{{.Mountpoint}}", "half");
  // As a daemon that is killed in the middle leaves it: some files, one of them cut.
  await daemon.end("SIGKILL");
  await rm(join(data, "many"), { recursive: true });
  await truncate(join(data, "kept"), 1);
  ((): void => {
    using db = new Database(join(daemon.dataRoot, "state.db"));
    db.run("UPDATE volumes SET populated = 2 WHERE name = 'half'");
  })();
  await daemon.start();
  await lighter.must("run", "--rm", "-v", "half:/data", "layered", "true");
  expect(await lighter.must("run", "--rm", "-v", "half:/data", "busybox", "sh", "-c", list)).toBe(whole);
  await lighter.must("volume", "rm", "half");
});

test("what options mount stays while a container runs, whatever becomes of the daemon, and not longer", async () => {
  const { lighter, daemon } = ground;
  await lighter.must("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "ram");
  const data = await lighter.must("volume", "inspect", "-f", "{{.Mountpoint}}", "ram");
  const mounted = async (): Promise<boolean> => (await Bun.file("/proc/self/mountinfo").text()).includes(` ${data} `);
  expect(await mounted()).toBe(false);
  await lighter.must("run", "-d", "--name", "long", "-v", "ram:/v", "busybox", "sleep", "1000");
  await lighter.must("run", "--rm", "-v", "ram:/w", "busybox", "sh", "-c", "echo kept > /w/file");
  await daemon.end("SIGKILL");
  await daemon.start();
  expect(await lighter.must("run", "--rm", "-v", "ram:/w", "busybox", "cat", "/w/file")).toBe("kept");
  expect(await mounted()).toBe(true);
  await lighter.must("stop", "-t", "0", "long");
  await until("it is unmounted", async () => !(await mounted()));
  await lighter.must("start", "long");
  expect(await lighter.must("exec", "long", "ls", "/v")).toBe("");
  expect(await mounted()).toBe(true);
  // The container ends while nobody looks.
  const pid = Number(await lighter.must("inspect", "-f", "{{.State.Pid}}", "long"));
  await daemon.end("SIGKILL");
  process.kill(pid, "SIGKILL");
  await daemon.start();
  await until("it is unmounted", async () => !(await mounted()));
  // A copy for somebody who does not run leaves nothing behind either.
  await lighter.must("cp", "long:/v", ground.path("copied"));
  await until("it is unmounted", async () => !(await mounted()));
  await lighter.must("rm", "long");
  await lighter.must("volume", "rm", "ram");
});
