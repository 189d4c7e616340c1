/** The store: stacks of layers, a data root without overlay, what goes round through other programs, sizes. Deadline: 240 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeRandomTree, seeded } from "../src/content/random-tree-fixture.ts";
import { describeTar, describeTree } from "../src/content/layer-fixture.ts";
import { must, run } from "../tools/shell.ts";
import { testImage } from "../tools/test-images.ts";
import { Layout, tarOf } from "../src/images/layout-fixture.ts";
import { count, FULL, randomOf, SEED } from "./harness/counts.ts";
import { Client } from "./harness/client.ts";
import { Daemon, LIGHTER } from "./harness/daemon.ts";
import { withDockerd } from "./harness/dockerd.ts";
import { Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => {
  console.log(`seed ${SEED}`);
  ground = await Ground.lay(["busybox", "layered"]);
}, 120_000);
afterAll(async () => await ground?.[Symbol.asyncDispose]());

/** Our client to another daemon. */
function clientOf(daemon: Daemon): Client {
  return new Client("lighter", LIGHTER, { DOCKER_HOST: `unix://${daemon.socket}`, HOME: daemon.folder });
}

async function load(client: Client, archive: Uint8Array): Promise<string> {
  const { code, stdout, stderr } = await client.run(["load"], { stdin: new Blob([new Uint8Array(archive)]) });
  return code === 0 ? stdout.trim() : stderr.trim();
}

/** Busybox with layers on top, each with a file of its own, and one that all of them change. */
async function tall(layers: number): Promise<Uint8Array> {
  const busybox = await busyboxLayer();
  const more = Array.from({ length: layers - 1 }, (_, index) =>
    tarOf([
      { path: `layer/${index}`, data: `${index}\n` },
      { path: "top", data: `${index}\n` },
    ]),
  );
  const layout = new Layout();
  layout.image([busybox, ...more], { name: `docker.io/library/tall:${layers}`, config: { Cmd: ["sh"] } });
  return layout.archive();
}

let busyboxRoot: Uint8Array | undefined;
async function busyboxLayer(): Promise<Uint8Array> {
  if (busyboxRoot !== undefined) return busyboxRoot;
  const name = ground.name();
  await ground.lighter.must("create", "--name", name, "busybox");
  await ground.lighter.must("export", "-o", ground.path("busybox-root.tar"), name);
  await ground.lighter.must("rm", name);
  return (busyboxRoot = await Bun.file(ground.path("busybox-root.tar")).bytes());
}

for (const layers of FULL ? [1, 2, 127, 128, 129, 300, 500] : [1, 128, 500]) {
  test(`${layers} layers run, are exported and committed on`, async () => {
    const { lighter } = ground;
    expect(await load(lighter, await tall(layers))).toBe(`Loaded image: tall:${layers}`);
    const script = "cat top 2>/dev/null; ls layer 2>/dev/null | wc -l; echo x > made && cat made";
    const name = ground.name();
    const shown = layers === 1 ? "0\nx" : `${layers - 2}\n${layers - 1}\nx`;
    expect(await lighter.must("run", "--name", name, `tall:${layers}`, "sh", "-c", script)).toBe(shown);
    await lighter.must("export", "-o", ground.path("tall.tar"), name);
    const names = (await must(["tar", "-tf", ground.path("tall.tar")])).split("\n");
    expect(names.filter((path) => path.startsWith("layer/") && path !== "layer/")).toHaveLength(layers - 1);
    expect(names).toContain("made");
    const committed = await lighter.run(["commit", name, "taller"]);
    if (layers === 500) expect(committed.stderr).toContain("it has 500 layers, and no more can be stacked");
    else expect(await lighter.must("run", "--rm", "taller", "cat", "made")).toBe("x");
    if (layers === 128) {
      const mount = `type=image,source=tall:${layers},target=/img`;
      expect(await lighter.must("run", "--rm", "--mount", mount, "busybox", "cat", "/img/top")).toBe(`${layers - 2}`);
    }
    await lighter.must("rm", name);
    await lighter.run(["rmi", "-f", "taller", `tall:${layers}`]);
  }, 120_000);
}

test("501 layers are refused in a sentence, and nothing is left", async () => {
  const before = await usage(ground.daemon);
  expect(await load(ground.lighter, await tall(501))).toContain("it has 501 layers, more than the 500 that can be stacked");
  await ground.lighter.must("image", "prune", "-f");
  expect(await usage(ground.daemon)).toEqual(before);
}, 120_000);

interface Usage {
  ImageUsage: { TotalSize: number };
  ContainerUsage: { TotalSize: number };
  VolumeUsage: { TotalSize: number };
}

async function usage(daemon: Daemon): Promise<{ images: number; containers: number; volumes: number }> {
  const answer = await daemon.json<Usage>("GET", "/system/df");
  return {
    images: answer.ImageUsage.TotalSize,
    containers: answer.ContainerUsage.TotalSize,
    volumes: answer.VolumeUsage.TotalSize,
  };
}

/** What `du` says of everything that the store, containers and volumes hold. */
async function duOf(daemon: Daemon): Promise<number> {
  const places = ["content", "layers", "containers", "volumes"].map((name) => join(daemon.dataRoot, name)).filter(existsSync);
  const text = await must(["du", "-sc", "--block-size=1", ...places]);
  return Number(/^(\d+)\ttotal$/m.exec(text)?.[1]);
}

test(`system df adds up to what du says after random pulls, runs, commits and removals (seed ${SEED})`, async () => {
  await using daemon = new Daemon(ground.path("df"));
  await daemon.start();
  const lighter = clientOf(daemon);
  // The registry's own images.
  const empty = await usage(daemon);
  const own = await duOf(daemon);
  const random = randomOf(SEED);
  const upTo = (below: number): number => Math.floor(random() * below);
  const images = ["busybox"];
  const containers: string[] = [];
  let names = 0;
  await lighter.must("load", "-q", "-i", (await testImage("busybox")).archive);
  const writes = [
    "dd if=/dev/urandom of=/file bs=1M count=3",
    "for i in $(seq 300); do echo $i > /small$i; done",
    "truncate -s 1G /sparse; echo end >> /sparse",
    "dd if=/dev/urandom of=/one bs=1M count=2; ln -f /one /two; ln -f /one /three; ln -sf /one /link",
    "dd if=/dev/urandom of=/data/kept bs=1M count=2",
    "seq 200000",
    "rm -rf /bin/vi /etc/group; chmod 700 /tmp",
  ];
  const steps: (() => Promise<unknown>)[] = [
    async () => {
      const name = `c${++names}`;
      containers.push(name);
      const image = images[upTo(images.length)] ?? "busybox";
      await lighter.must("run", "--name", name, "-v", `vol${upTo(3)}:/data`, image, "sh", "-c", writes[upTo(writes.length)] ?? "");
    },
    async () => {
      const container = containers[upTo(containers.length)];
      if (container === undefined) return;
      const image = `made${++names}`;
      images.push(image);
      await lighter.must("commit", container, image);
    },
    async () => {
      const [gone] = containers.splice(upTo(containers.length), 1);
      if (gone !== undefined) await lighter.must("rm", "-f", gone);
    },
    async () => {
      if (images.length < 2) return;
      const [gone] = images.splice(1 + upTo(images.length - 1), 1);
      await lighter.must("rmi", "-f", gone ?? "");
    },
    async () => await lighter.must("pull", "-q", `${ground.registry.host}/layered`),
    async () =>
      await lighter.must("run", "-d", "--name", `r${++names}`, "busybox", "sh", "-c", "dd if=/dev/zero of=/z bs=1M count=2; sleep 600"),
  ];
  const check = async (): Promise<void> => {
    // What was removed is deleted a moment later.
    await until("df is what du says", async () => {
      const { images: i, containers: c, volumes: v } = await usage(daemon);
      const du = (await duOf(daemon)) - own;
      return Math.abs(i - empty.images + c + v - du) <= Math.max(du / 100, 20_480);
    }).catch(async (cause: unknown) => {
      throw new Error(`df: ${JSON.stringify(await usage(daemon))}, du: ${await duOf(daemon)}`, { cause });
    });
  };
  for (let step = 0; step < count(20, 300); step++) {
    const weight = [0, 0, 0, 1, 1, 2, 3, 4, 5];
    await steps[weight[upTo(weight.length)] ?? 0]?.();
    if (step % 8 === 7) await check();
  }
  await check();
  // The old shape says the same.
  const old = (await (await daemon.api("GET", "/system/df", { version: "1.43" })).json()) as { LayersSize: number };
  expect(old.LayersSize).toBe((await usage(daemon)).images);
  await lighter.must("rm", "-f", ...(await lighter.must("ps", "-aq")).split("\n"));
  await lighter.must("volume", "prune", "-af");
  await lighter.must("image", "prune", "-af");
  expect(await usage(daemon)).toEqual(empty);
}, 600_000);

test("a full disk: load, import, commit, run and cp say so, nothing of them is left, and removing goes on", async () => {
  const folder = ground.path("full");
  await mkdir(folder, { recursive: true });
  await must(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder]);
  {
    await using daemon = new Daemon(join(folder, "daemon"));
    await daemon.start();
    const lighter = clientOf(daemon);
    const full = /no space left on device/;
    await lighter.must("load", "-q", "-i", (await testImage("busybox")).archive);
    const before = await usage(daemon);
    const unchanged = async (): Promise<void> => {
      await until("nothing is left", async () => Bun.deepEquals(await usage(daemon), before)).catch(() => undefined);
      expect(await usage(daemon)).toEqual(before);
    };
    const big = ground.path("big");
    await must(["dd", "if=/dev/urandom", `of=${big}`, "bs=1M", "count=60", "status=none"]);
    expect((await lighter.run(["load", "-i", (await testImage("debian")).archive])).stderr).toMatch(full);
    await unchanged();
    // Compressed it fits, unpacked it does not.
    const zeros = ground.path("zeros.tar");
    await must(["sh", "-c", `head -c 60M /dev/zero > ${big}.zero && tar -C ${folder}/.. -cf ${zeros} big.zero && gzip -1 ${zeros}`]);
    expect((await lighter.run(["import", `${zeros}.gz`, "zeros"])).stderr).toMatch(full);
    await unchanged();
    await must(["tar", "-C", ground.folder, "-cf", ground.path("big.tar"), "big"]);
    expect((await lighter.run(["import", ground.path("big.tar"), "big"])).stderr).toMatch(full);
    await unchanged();
    await lighter.must("run", "--name", "writer", "busybox", "dd", "if=/dev/urandom", "of=/file", "bs=1M", "count=18");
    const { containers } = await usage(daemon);
    const refused = await lighter.run(["commit", "writer", "toobig"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(full)]);
    expect((await lighter.run(["cp", big, "writer:/big"])).stderr).toMatch(full);
    // Not one byte is left, also for the daemon's own rows.
    await run(["dd", "if=/dev/zero", `of=${folder}/rest`, "bs=4k"]);
    expect((await lighter.run(["run", "--name", "more", "busybox", "true"])).stderr).toMatch(/no space left on device|disk is full/);
    expect((await usage(daemon)).containers).toBeGreaterThan(containers);
    await lighter.run(["rm", "-f", "more"]);
    await lighter.must("rm", "-f", "writer");
    await rm(`${folder}/rest`);
    await unchanged();
    await until("there is room to run again", async () => (await lighter.must("run", "--rm", "busybox", "echo", "on")) === "on");
    await lighter.must("rmi", "busybox");
  }
  await must(["umount", folder]);
}, 180_000);

test("a data root on overlayfs: found at start, said in info, and everything works by copies", async () => {
  const folder = ground.path("native");
  for (const name of ["lower", "upper", "work", "merged"]) await mkdir(join(folder, name), { recursive: true });
  const options = `lowerdir=${folder}/lower,upperdir=${folder}/upper,workdir=${folder}/work`;
  await must(["mount", "-t", "overlay", "overlay", "-o", options, `${folder}/merged`]);
  {
    await using daemon = new Daemon(`${folder}/merged/daemon`);
    await daemon.start();
    const lighter = clientOf(daemon);
    const info = await daemon.json<{ Driver: string; Warnings: string[] }>("GET", "/info");
    expect(info.Driver).toBe("native");
    expect(info.Warnings.join("\n")).toContain("carries no overlay");
    for (const name of ["busybox", "layered"] as const) await lighter.must("load", "-q", "-i", (await testImage(name)).archive);
    // The layered image has whiteouts and an opaque directory: the copy shows what the overlay of the other daemon shows.
    const listing = ["run", "--rm", "layered", "find", "/data", "/etc", "/usr", "-exec", "stat", "-c", "%n %a %u:%g %s %Y %h", "{}", ";"];
    const nameOnly = (text: string): string[] =>
      text
        .split("\n")
        .filter((line) => !/^\/(data|etc)( |\/(hosts|hostname|resolv.conf|mtab) )/.test(line))
        .map((line) => line.replace(/(\d+) (\d+) \d+$/, "$2"))
        .sort();
    expect(nameOnly(await lighter.must(...listing))).toEqual(nameOnly(await ground.lighter.must(...listing)));
    const writes =
      "rm /bin/vi; rm -r /root; mkdir /root; echo r > /root/r; ln /root/r /hard; mkfifo /pipe; chmod 700 /tmp; rm -r /data/many; echo f > /data/many";
    await lighter.must("run", "--name", "made", "layered", "sh", "-c", writes);
    await ground.lighter.must("run", "--name", "made", "layered", "sh", "-c", writes);
    expect(await lighter.must("diff", "made")).toBe(await ground.lighter.must("diff", "made"));
    await lighter.must("commit", "made", "made");
    expect(
      await lighter.must(
        "run",
        "--rm",
        "made",
        "sh",
        "-c",
        "ls /root; test -e /bin/vi || echo gone; cat /data/many; stat -c '%a %h' /tmp /hard",
      ),
    ).toBe("r\ngone\nf\n700 2\n644 2");
    await lighter.must("start", "-a", "made").catch(() => "");
    await Bun.write(ground.path("put"), "put");
    await lighter.must("cp", ground.path("put"), "made:/put");
    await lighter.must("export", "-o", ground.path("native.tar"), "made");
    expect((await must(["tar", "-xOf", ground.path("native.tar"), "put"])).trim()).toBe("put");
    expect(await lighter.must("run", "--rm", "--mount", "type=image,source=made,target=/img", "busybox", "cat", "/img/data/many")).toBe(
      "f",
    );
    expect(await lighter.must("run", "--rm", "-v", "filled:/data", "made", "cat", "/data/many")).toBe("f");
    await lighter.must("create", "--name", "fresh", "made");
    expect(await lighter.must("diff", "fresh")).toBe("");
    await lighter.must("commit", "fresh", "fresh");
    await lighter.must("export", "-o", ground.path("native.tar"), "fresh");
    expect((await must(["tar", "-xOf", ground.path("native.tar"), "data/many"])).trim()).toBe("f");
    await lighter.must("save", "-o", ground.path("native-saved.tar"), "made");
    await ground.lighter.must("load", "-i", ground.path("native-saved.tar"));
    expect(await ground.lighter.must("run", "--rm", "made", "cat", "/data/many")).toBe("f");
    await ground.lighter.must("rm", "made");
  }
  await must(["umount", `${folder}/merged`]);
  await rm(folder, { recursive: true, force: true });
}, 120_000);

test(`random trees go in by import, and come out of a container, of a committed and saved image as they were (seed ${SEED})`, async () => {
  const { lighter } = ground;
  for (let round = 0; round < count(3, 40); round++) {
    const tree = ground.path("tree");
    await mkdir(tree);
    makeRandomTree(tree, seeded(SEED * 100 + round), {}, 80);
    const before = withoutTop(await describeTree(tree));
    await must([
      "tar",
      "-C",
      tree,
      "--format=pax",
      "--numeric-owner",
      "--xattrs",
      "--xattrs-include=*",
      ...(round % 2 === 0 ? ["-S"] : []),
      "-cf",
      ground.path("tree.tar"),
      ".",
    ]);
    await lighter.must("import", ground.path("tree.tar"), "tree");
    const name = ground.name();
    await lighter.must("create", "--name", name, "tree", "nothing");
    const exported = async (container: string): Promise<Map<string, string>> => {
      await lighter.must("export", "-o", ground.path("out.tar"), container);
      return withoutTop(describeTar(await Bun.file(ground.path("out.tar")).bytes()));
    };
    expect(await exported(name)).toEqual(before);
    await lighter.must("commit", name, "tree-committed");
    await lighter.must("save", "-o", ground.path("saved.tar"), "tree-committed");
    await lighter.must("rmi", "tree-committed");
    await lighter.must("load", "-i", ground.path("saved.tar"));
    const again = ground.name();
    await lighter.must("create", "--name", again, "tree-committed", "nothing");
    expect(await exported(again)).toEqual(before);
    await lighter.must("rm", name, again);
    await lighter.must("rmi", "tree", "tree-committed");
    await rm(tree, { recursive: true });
  }
}, 600_000);

/** What docker's export tells: of attributes only capabilities. */
function asDocker(lines: Map<string, string>): Map<string, string> {
  return new Map(
    [...withoutTop(lines)].map(([path, line]) => [path, line.replaceAll(/ (user|trusted|system|security)\.[a-z0-9_.]+=[0-9a-f]*/g, "")]),
  );
}

async function exportedBy(client: Client, image: string): Promise<Map<string, string>> {
  const name = ground.name();
  await client.must("create", "--name", name, image, "nothing");
  await client.must("export", "-o", ground.path("peer.tar"), name);
  await client.must("rm", name);
  return asDocker(describeTar(await Bun.file(ground.path("peer.tar")).bytes()));
}

test(`docker's daemon loads what we save, and we what it saves; skopeo copies to and from both (seed ${SEED})`, async () => {
  const { lighter, daemon } = ground;
  await withDockerd({ root: ground.path("dockerd"), storage: "overlay2" }, async (docker) => {
    for (let round = 0; round < count(1, 10); round++) {
      const tree = ground.path("tree");
      await mkdir(tree);
      makeRandomTree(tree, seeded(SEED * 100 + 50 + round), { bytes: false, extremes: false, attributes: false });
      await must([
        "tar",
        "-C",
        tree,
        "--format=pax",
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
        "-cf",
        ground.path("tree.tar"),
        ".",
      ]);
      // A layer of ours over one of theirs: what the commit packs is sparse.
      await lighter.must("import", ground.path("tree.tar"), "tree:1");
      const name = ground.name();
      await lighter.must("create", "--name", name, "busybox");
      await lighter.must("cp", `${tree}/.`, `${name}:/tree`).catch(() => "");
      await lighter.must("commit", name, "tree:2");
      await lighter.must("rm", name);
      for (const image of ["tree:1", "tree:2"]) {
        await lighter.must("save", "-o", ground.path("ours.tar"), image);
        expect(await docker.must("load", "-i", ground.path("ours.tar"))).toContain(`Loaded image: ${image}`);
        const told = await exportedBy(docker, image);
        expect(told.size).toBeGreaterThan(20);
        expect(told).toEqual(await exportedBy(lighter, image));
      }
      await rm(tree, { recursive: true });
    }
    await docker.must("save", "-o", ground.path("theirs.tar"), "tree:1", "tree:2");
    await lighter.must("rmi", "tree:1", "tree:2");
    const loaded = await lighter.must("load", "-i", ground.path("theirs.tar"));
    expect(loaded.split("\n").sort()).toEqual(["Loaded image: tree:1", "Loaded image: tree:2"]);
    for (const image of ["tree:1", "tree:2"]) expect(await exportedBy(lighter, image)).toEqual(await exportedBy(docker, image));
    if (Bun.which("skopeo") === null) return console.log("skopeo is not here: not tried");
    const skopeo = (...args: string[]): Promise<string> => must(["skopeo", "--insecure-policy", "copy", "-q", ...args]);
    const at = (side: "src" | "dest"): string[] => [`--${side}-daemon-host`, `unix://${daemon.socket}`];
    await skopeo(...at("src"), "docker-daemon:tree:2", `oci:${ground.path("copied")}:1`);
    await skopeo(...at("src"), "docker-daemon:tree:2", `docker-archive:${ground.path("copied.tar")}:copied:2`);
    await skopeo(...at("dest"), `oci:${ground.path("copied")}:1`, "docker-daemon:copied:1");
    await skopeo(...at("dest"), `docker-archive:${ground.path("copied.tar")}`, "docker-daemon:copied:2");
    const before = await exportedBy(lighter, "tree:2");
    for (const image of ["copied:1", "copied:2"]) expect(await exportedBy(lighter, image)).toEqual(before);
  });
}, 300_000);

/** What every container has, and the root itself, are no part of the tree. Hard links are told by who comes first. */
function withoutTop(lines: Map<string, string>): Map<string, string> {
  const own = /^(|dev|dev\/.*|etc|etc\/(hostname|hosts|mtab|resolv\.conf)|proc|sys|\.dockerenv)$/;
  return new Map([...lines].filter(([path]) => !own.test(path)));
}
