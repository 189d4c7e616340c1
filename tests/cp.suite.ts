/** Files in and out of containers. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, chown, mkdir, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { must } from "../tools/shell.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  await ground.lighter.must("run", "-d", "--name", "running", "busybox", "sleep", "600");
  await ground.lighter.must("create", "--name", "stopped", "busybox");
}, 120_000);
afterAll(async () => await ground?.[Symbol.asyncDispose]());

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

for (const name of CLIENTS) {
  for (const container of ["running", "stopped"]) {
    test(`${name}: a file to and from a ${container} container, with its mode`, async () => {
      const client = ground.client(name);
      const folder = ground.path(ground.name());
      await mkdir(folder);
      await Bun.write(join(folder, "in"), "content\n");
      await chmod(join(folder, "in"), 0o751);
      await client.must("cp", join(folder, "in"), `${container}:/tmp/there`);
      await client.must("cp", `${container}:/tmp/there`, join(folder, "out"));
      expect(await Bun.file(join(folder, "out")).text()).toBe("content\n");
      expect((await stat(join(folder, "out"))).mode & 0o7777).toBe(0o751);
    });

    test(`${name}: a folder, its content, and links as links (${container})`, async () => {
      const client = ground.client(name);
      const folder = ground.path(ground.name());
      await mkdir(join(folder, "tree/deep"), { recursive: true });
      await Bun.write(join(folder, "tree/deep/file"), "deep\n");
      await symlink("deep/file", join(folder, "tree/link"));
      const place = `/root/${ground.name()}`;
      await client.must("cp", join(folder, "tree"), `${container}:${place}`);
      await client.must("cp", `${container}:${place}`, join(folder, "back"));
      expect(await Bun.file(join(folder, "back/deep/file")).text()).toBe("deep\n");
      expect(await readlink(join(folder, "back/link"))).toBe("deep/file");
      await mkdir(join(folder, "content"));
      await client.must("cp", `${container}:${place}/.`, join(folder, "content"));
      expect(await Bun.file(join(folder, "content/deep/file")).text()).toBe("deep\n");
      await client.must("cp", `${container}:${place}`, join(folder, "content"));
      expect(await exists(join(folder, "content", place.split("/").at(-1) ?? "", "deep/file"))).toBe(true);
    });
  }

  test(`${name}: tar streams through -`, async () => {
    const client = ground.client(name);
    const { program, env } = client;
    const child = Bun.spawn([program, "cp", "running:/etc/passwd", "-"], { env: { ...process.env, ...env } });
    const list = Bun.spawn(["tar", "-tf", "-"], { stdin: await child.stdout.bytes() });
    expect(await list.stdout.text()).toBe("passwd\n");
    const folder = ground.path(ground.name());
    await mkdir(folder);
    await Bun.write(join(folder, "streamed"), "by tar\n");
    const tar = await Bun.spawn(["tar", "-C", folder, "-cf", "-", "streamed"]).stdout.bytes();
    expect((await client.run(["cp", "-", "running:/tmp"], { stdin: tar })).code).toBe(0);
    expect(await client.must("exec", "running", "cat", "/tmp/streamed")).toBe("by tar");
  });

  test(`${name}: a link is followed for its slash and for -L, and must lead somewhere`, async () => {
    const client = ground.client(name);
    const folder = ground.path(ground.name());
    const place = `/tmp/${ground.name()}`;
    await mkdir(join(folder, "real"), { recursive: true });
    await Bun.write(join(folder, "real", "file"), "x");
    await symlink("real", join(folder, "link"));
    await symlink("nowhere", join(folder, "broken"));
    for (const [index, args] of [[join(folder, "link/")], ["-L", join(folder, "link")]].entries()) {
      await client.must("cp", ...args, `running:${place}${index}`);
      expect(await client.must("exec", "running", "stat", "-c", "%F", `${place}${index}`, `${place}${index}/file`)).toBe(
        "directory\nregular file",
      );
    }
    expect((await client.run(["cp", "-L", join(folder, "broken"), `running:${place}`])).code).toBe(1);
    await client.must("cp", join(folder, "broken"), `running:${place}`);
    expect(await client.must("exec", "running", "readlink", place)).toBe("nowhere");
  });

  test(`${name}: with -a files become the user's that the container is configured with`, async () => {
    const client = ground.client(name);
    await mkdir(ground.path("owned"), { recursive: true });
    const file = join(ground.path("owned"), "file");
    await writeFile(file, "x");
    await chown(file, 1000, 1001);
    for (const [user, flags, owner] of [
      ["7:8", ["-a"], "7:8"],
      ["7:8", [], "1000:1001"],
      ["", ["-a"], "1000:1001"],
    ] as const) {
      const id = (await client.must("run", "-d", ...(user === "" ? [] : ["--user", user]), "busybox", "sleep", "600")).trim();
      await client.must("cp", ...flags, file, `${id}:/tmp/file`);
      expect((await client.must("exec", id, "stat", "-c", "%u:%g", "/tmp/file")).trim()).toBe(owner);
      await client.must("rm", "-f", id);
    }
  });

  test(`${name}: what is not there is said and exits 1`, async () => {
    const client = ground.client(name);
    const missing = await client.run(["cp", "running:/no/such", ground.path("x")]);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/Could not find the file \/no\/such in container running|No such container:path: running:\/no\/such/);
    expect((await client.run(["cp", ground.path("no-such"), "running:/tmp"])).code).toBe(1);
    const nowhere = await client.run(["cp", import.meta.path, "running:"]);
    expect([nowhere.code, nowhere.stderr]).toEqual([1, expect.stringContaining("no such directory")]);
    // Files without a size before they are read: a copy would be empty. Docker does not see them either.
    expect((await client.run(["cp", "running:/proc/version", ground.path("x")])).stderr).toMatch(/\/proc\/version/);
    expect((await client.run(["cp", import.meta.path, "running:/proc/sys/x"])).code).toBe(1);
    const kernels = await must(["sh", "-c", `${client.line("cp", "running:/sys/.", "-")} | tar -tf -`]);
    expect(kernels.trim()).toBe("./");
    expect((await client.run(["cp", "nobody:/etc/passwd", ground.path("x")])).stderr).toMatch(/No such container(:path)?: nobody/);
  });
}

for (const name of CLIENTS) {
  test(`${name}: links at the ends of paths, and slashes after them`, async () => {
    const client = ground.client(name);
    const [local, inside] = [ground.path(ground.name()), `/tmp/${ground.name()}`];
    await mkdir(join(local, "dir"), { recursive: true });
    await Bun.write(join(local, "dir/b"), "b\n");
    await symlink("dir", join(local, "link"));
    const shell = async (line: string): Promise<string> => client.must("exec", "running", "sh", "-c", line);
    await shell(
      `mkdir -p ${inside}/e; ln -s ${inside}/e ${inside}/le; echo f > ${inside}/f; ln -s f ${inside}/lf; ln -s ${inside}/later ${inside}/broken`,
    );
    // A link to a folder is that folder, with a slash and without one.
    for (const target of ["le", "le/"]) {
      await client.must("cp", join(local, "dir/b"), `running:${inside}/${target}`);
      expect(await shell(`readlink ${inside}/le; ls ${inside}/e; rm ${inside}/e/b`)).toBe(`${inside}/e\nb`);
    }
    await client.must("cp", `${local}/link/.`, `running:${inside}/e`);
    expect(await shell(`ls ${inside}/e`)).toBe("b");
    // A link to a file is written through, one that leads nowhere makes the file there.
    await client.must("cp", join(local, "dir/b"), `running:${inside}/lf`);
    await client.must("cp", join(local, "dir/b"), `running:${inside}/broken`);
    expect(await shell(`cd ${inside}; cat f later; readlink lf; readlink broken`)).toBe(`b\nb\nf\n${inside}/later`);
    const slash = await client.run(["cp", join(local, "dir/b"), `running:${inside}/f/`]);
    expect([slash.code, slash.stderr]).toEqual([1, expect.stringMatching(/no such directory|not a directory/)]);
    // -L: the file behind the link, under the link's name.
    await client.must("cp", "-L", `running:${inside}/lf`, local);
    expect(await Bun.file(join(local, "lf")).text()).toBe("b\n");
    await client.must("cp", "-L", `running:${inside}/le`, local);
    expect(await exists(join(local, "le/b"))).toBe(true);
    await client.must("cp", `running:${inside}/lf`, join(local, "kept"));
    expect(await readlink(join(local, "kept"))).toBe("f");
  });

  test(`${name}: a folder of this machine is not replaced by a file, nor a file by a folder`, async () => {
    const client = ground.client(name);
    const folder = ground.path(ground.name());
    await mkdir(join(folder, "passwd"), { recursive: true });
    await Bun.write(join(folder, "etc"), "a file\n");
    for (const path of ["/etc/passwd", "/etc"]) {
      const { code, stderr } = await client.run(["cp", `running:${path}`, folder]);
      expect([code, stderr]).toEqual([1, expect.stringMatching(/cannot overwrite (non-)?directory ".*" with (non-)?directory/)]);
    }
    expect(await Bun.file(join(folder, "etc")).text()).toBe("a file\n");
  });

  test(`${name}: devices, fifos, hard links and odd names`, async () => {
    const client = ground.client(name);
    const [local, inside] = [ground.path(ground.name()), `/tmp/${ground.name()}`];
    await mkdir(local);
    const line = `mkdir ${inside}; cd ${inside}; mkfifo p; mknod c c 1 3; mknod b b 7 0; echo x > "a b"; ln "a b" h; echo y > x:y`;
    await client.must("exec", "running", "sh", "-c", line);
    await client.must("cp", `running:${inside}`, join(local, "got"));
    const kind = async (file: string): Promise<string> => (await must(["stat", "-c", "%F %t:%T %h", join(local, "got", file)])).trim();
    expect(await Promise.all(["p", "c", "b", "a b", "h", "x:y"].map(kind))).toEqual([
      "fifo 0:0 1",
      "character special file 1:3 1",
      "block special file 7:0 1",
      "regular file 0:0 2",
      "regular file 0:0 2",
      "regular file 0:0 1",
    ]);
    await client.must("cp", join(local, "got"), `running:${inside}/back`);
    expect(await client.must("exec", "running", "sh", "-c", `cd ${inside}/back; stat -c "%F %h" p c b "a b"; cat x:y`)).toBe(
      "fifo 1\ncharacter special file 1\nblock special file 1\nregular file 2\ny",
    );
  });

  test(`${name}: what is read-only refuses with Docker's words, what is not takes files`, async () => {
    const client = ground.client(name);
    const folder = ground.path(ground.name());
    await mkdir(folder);
    await Bun.write(join(folder, "f"), "f\n");
    const flags = ["--read-only", "-v", "/own", "-v", `${folder}:/bind:ro`, "-v", "named:/named:ro"];
    const run = await client.must("run", "-d", ...flags, "--tmpfs", "/memory", "busybox", "sleep", "600");
    const stopped = await client.must("create", ...flags, "busybox");
    const [root, mount] = ["container rootfs is marked read-only", "mounted volume is marked read-only"];
    for (const [path, sentence] of [
      ["/x", root],
      ["/proc/x", root],
      ["/bind/x", mount],
      ["/named/", mount],
    ] as const) {
      for (const id of [run, stopped]) {
        const { code, stderr } = await client.run(["cp", join(folder, "f"), `${id}:${path}`]);
        expect([code, stderr]).toEqual([1, expect.stringContaining(sentence)]);
      }
    }
    for (const id of [run, stopped]) {
      await client.must("cp", join(folder, "f"), `${id}:/own/x`);
      await client.must("cp", `${id}:/own/x`, join(folder, `back-${id}`));
      expect(await Bun.file(join(folder, `back-${id}`)).text()).toBe("f\n");
    }
    expect((await client.run(["cp", join(folder, "f"), `${stopped}:/memory/x`])).stderr).toMatch(
      /Could not find the file \/memory|No such container:path: \w+:\/memory|no such directory/,
    );
    await client.must("rm", "-fv", run, stopped);
  });

  test(`${name}: what lies above volumes and binds of a container that does not run comes with them`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    const folder = ground.path(container);
    await mkdir(join(folder, "sub"), { recursive: true });
    await Bun.write(join(folder, "sub/f"), "f\n");
    const mounts = [
      "-v",
      "/data/db",
      "-v",
      `${folder}:/data/bind:ro`,
      "-v",
      `${folder}/sub/f:/data/one`,
      "-v",
      `${container}:/data/db/inner`,
    ];
    const script = "echo 1 > /data/db/row; echo 2 > /data/db/inner/deep; echo 3 > /data/own";
    await client.must("run", "--name", container, ...mounts, "busybox", "sh", "-c", script);
    const namesOf = async (...from: string[]): Promise<string[]> =>
      (await must(["sh", "-c", `${client.line("cp", ...from, "-")} | tar -tf -`])).trim().split("\n").sort();
    const below = ["bind/", "bind/sub/", "bind/sub/f", "db/", "db/inner/", "db/inner/deep", "db/row", "one", "own"];
    expect(await namesOf(`${container}:/data`)).toEqual(["data/", ...below.map((path) => `data/${path}`)]);
    expect(await namesOf(`${container}:/data/.`)).toEqual(["./", ...below.map((path) => `./${path}`)]);
    expect(await namesOf(`${container}:/data/db`)).toEqual(["db/", "db/inner/", "db/inner/deep", "db/row"]);
    expect((await namesOf(`${container}:/`)).filter((path) => path.includes("inner/"))).toEqual(["/data/db/inner/", "/data/db/inner/deep"]);
    const target = ground.path(ground.name());
    await client.must("cp", `${container}:/data`, target);
    expect(await Bun.file(join(target, "db/inner/deep")).text()).toBe("2\n");
    expect(await Bun.file(join(target, "one")).text()).toBe("f\n");
    // And what is put there goes into them.
    const source = ground.path(ground.name());
    await mkdir(join(source, "db/inner"), { recursive: true });
    for (const path of ["db/put", "db/inner/put", "put"]) await Bun.write(join(source, path), `${path}\n`);
    await client.must("cp", `${source}/.`, `${container}:/data`);
    expect(await client.must("run", "--rm", "--volumes-from", container, "busybox", "cat", "/data/db/put", "/data/db/inner/put")).toBe(
      "db/put\ndb/inner/put",
    );
    await mkdir(join(source, "bind"));
    await Bun.write(join(source, "bind/put"), "never\n");
    expect((await client.run(["cp", `${source}/.`, `${container}:/data`])).stderr).toContain("mounted volume is marked read-only");
    expect(await Bun.file(join(folder, "put")).exists()).toBe(false);
    await client.must("rm", "-v", container);
    await client.must("volume", "rm", container);
  });

  test(`${name}: streams: packed ones, a whole root without the kernel's files, rubbish`, async () => {
    const client = ground.client(name);
    const folder = ground.path(ground.name());
    await mkdir(join(folder, "dir"), { recursive: true });
    await Bun.write(join(folder, "dir/f"), "f\n");
    const place = `/tmp/${ground.name()}`;
    await client.must("exec", "running", "mkdir", place);
    for (const flag of ["-z", "--zstd", "-J", "-j"]) {
      const tar = await Bun.spawn(["tar", flag, "-C", folder, "-cf", "-", "dir"]).stdout.bytes();
      expect(await client.run(["cp", "-", `running:${place}`], { stdin: tar })).toMatchObject({ code: 0 });
      expect(await client.must("exec", "running", "sh", "-c", `cat ${place}/dir/f; rm -r ${place}/dir`)).toBe("f");
    }
    expect((await client.run(["cp", "-", `running:${place}`], { stdin: "rubbish" })).code).toBe(1);
    expect((await client.run(["cp", "-", "running:/etc/passwd"], { stdin: "" })).code).toBe(1);
    expect((await client.run(["cp", "-", `running:${place}/no`], { stdin: "" })).code).toBe(1);
    const archive = join(folder, "root.tar");
    await must(["sh", "-c", `${client.line("cp", "running:/", "-")} > ${archive}`]);
    const names = (await must(["tar", "-Ptf", archive])).split("\n");
    expect(names).toContain("/etc/passwd");
    expect(names.filter((path) => /^\/(proc|sys|dev)\//.test(path))).toEqual(["/dev/", "/proc/", "/sys/"]);
    // Names that mean something at the root only.
    await client.must(
      "exec",
      "running",
      "sh",
      "-c",
      `mkdir -p ${place}/app/dev ${place}/app/proc && touch ${place}/app/dev/x ${place}/app/proc/y`,
    );
    for (const path of [`${place}/app/.`, `${place}/app/./`]) {
      const content = await must(["sh", "-c", `${client.line("cp", `running:${path}`, "-")} | tar -tf -`]);
      expect(content.trim().split("\n")).toEqual(["./", "./dev/", "./dev/x", "./proc/", "./proc/y"]);
    }
    if (name !== "docker 20.10") expect((await client.run(["cp", "-q", join(folder, "dir"), `running:${place}`])).stderr).toBe("");
    expect((await client.run(["cp", "running:/etc/passwd", "stopped:/tmp"])).stderr).toContain(
      "copying between containers is not supported",
    );
  });
}

test("links inside the container never lead out of its root", async () => {
  const secret = ground.path("secret");
  await Bun.write(secret, "of the host\n");
  await ground.lighter.must(
    "exec",
    "running",
    "sh",
    "-c",
    `ln -sf ${secret} /tmp/evil; ln -sfn / /tmp/slash; ln -sfn ../../../../../../../.. /tmp/up`,
  );
  for (const path of [`/tmp/slash${secret}`, `/tmp/up${secret}`]) {
    const { code } = await ground.lighter.run(["cp", `running:${path}`, ground.path("stolen")]);
    expect(code).toBe(1);
  }
  await ground.lighter.run(["cp", "-L", "running:/tmp/evil", ground.path("stolen")]);
  expect(await exists(ground.path("stolen"))).toBe(false);
  const payload = ground.path("payload");
  await Bun.write(payload, "planted\n");
  await ground.lighter.run(["cp", payload, "running:/tmp/evil"]);
  expect(await Bun.file(secret).text()).toBe("of the host\n");
  await ground.lighter.run(["cp", payload, `running:/tmp/slash${ground.folder}/planted`]);
  expect(await exists(ground.path("planted"))).toBe(false);
});

test("an archive whose names climb out of the root stays inside", async () => {
  const folder = ground.path(ground.name());
  await mkdir(folder);
  await Bun.write(join(folder, "file"), "climbed\n");
  const up = "../".repeat(12);
  const tar = await Bun.spawn([
    "tar",
    "-C",
    folder,
    "-P",
    `--transform=s|file|${up}${ground.folder.slice(1)}/climbed|`,
    "-cf",
    "-",
    "file",
  ]).stdout.bytes();
  await ground.daemon.api("PUT", "/containers/running/archive?path=/tmp", { body: tar });
  expect(await exists(ground.path("climbed"))).toBe(false);
});

test("a read-only root refuses what is copied in", async () => {
  await ground.lighter.must("run", "-d", "--read-only", "--name", "readonly", "busybox", "sleep", "600");
  await Bun.write(ground.path("small"), "x");
  const { code, stderr } = await ground.lighter.run(["cp", ground.path("small"), "readonly:/tmp/x"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/read-only/);
});

test("HEAD of an archive tells the file's stat", async () => {
  const response = await ground.daemon.api("HEAD", "/containers/running/archive?path=/etc/passwd");
  const header = JSON.parse(Buffer.from(response.headers.get("x-docker-container-path-stat") ?? "", "base64").toString()) as object;
  expect(header).toMatchObject({ name: "passwd", linkTarget: "" });
});

test("names that are no UTF-8 are found by their bytes", async () => {
  await ground.lighter.must(
    "exec",
    "running",
    "sh",
    "-c",
    `d=/tmp/$(printf 'd\\377'); mkdir "$d"; echo found > "$d/$(printf 'f\\303\\244\\376')"`,
  );
  const response = await ground.daemon.api("GET", "/containers/running/archive?path=/tmp/d%FF/f%C3%A4%FE");
  expect(response.status).toBe(200);
  const tar = Buffer.from(await response.arrayBuffer());
  expect(tar.toString("latin1")).toContain("f\xc3\xa4\xfe");
  expect(tar.toString("latin1")).toContain("found\n");
  const back = await ground.daemon.api("PUT", "/containers/running/archive?path=/tmp/d%FF/", { body: tar });
  expect([back.status, (await ground.daemon.api("GET", "/containers/running/archive?path=/tmp/d%FE")).status]).toEqual([200, 404]);
});

test("names of what paths mean are Docker's: `..` goes by the words, `.` is the content", async () => {
  await ground.lighter.must("exec", "running", "sh", "-c", "mkdir -p /words/a /words/b/c; ln -s /words/b/c /words/a/out");
  const names: [string, string][] = [
    ["/words/a/..", "words"],
    ["/words/a/out/..", "a"],
    ["words/b/./c/", "c"],
    ["/words/b/.", "."],
    ["/words/b/./", "."],
    ["/..", "/"],
    ["/.", "."],
  ];
  for (const [path, name] of names) {
    const response = await ground.daemon.api("HEAD", `/containers/running/archive?path=${encodeURIComponent(path)}`);
    const header = JSON.parse(Buffer.from(response.headers.get("x-docker-container-path-stat") ?? "", "base64").toString()) as object;
    expect({ path, ...header }).toMatchObject({ path, name });
  }
});
