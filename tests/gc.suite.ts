/** Disk care: what goes by which rule, what never goes, and a collection that runs in a loop beside everything else. Deadline: 240 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import type { GcReport } from "../src/wire/gc-report.ts";
import { must } from "../tools/shell.ts";
import { count, randomOf, SEED } from "./harness/counts.ts";
import { figure } from "./harness/figures.ts";
import { Ground } from "./harness/ground.ts";
import { SLOW, until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox", "layered"]);
  // The registry has what the daemon may lose.
  for (const name of ["busybox", "layered"]) await ground.lighter.must("rmi", `${ground.registry.host}/${name}`);
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

async function collect(policy: Record<string, unknown>, dryRun = false): Promise<GcReport> {
  const answer = await ground.daemon.api("POST", `/lighter/gc${dryRun ? "?dry-run=1" : ""}`, { body: policy });
  if (!answer.ok) throw new Error(`The collection failed: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as GcReport;
}

/** Everything that nothing needs, however recent its last use. */
const ALL = { "keep-recent": "0s", "unused-for": "0s" };

function namesOf(report: GcReport): string[] {
  return report.items.flatMap(({ names }) => names).toSorted();
}

/** An image of a file with its own name in it. */
async function make(name: string, bytes = 1000): Promise<void> {
  const folder = ground.path("make");
  await mkdir(folder, { recursive: true });
  await must(["sh", "-c", `cd "$0" && head -c ${bytes} /dev/urandom > data && echo ${name} > name && tar -cf image.tar data name`, folder]);
  await ground.lighter.must("import", `${folder}/image.tar`, name);
}

/** Bytes on disk of blobs, unpacked layers and partial downloads. */
async function onDisk(): Promise<number> {
  const { dataRoot } = ground.daemon;
  const sum = await must(["du", "-scB1", `${dataRoot}/content`, `${dataRoot}/layers`]);
  return Number(/(\d+)\ttotal/.exec(sum)?.[1]);
}

test("without a policy only images without a name go, and none that was used just now", async () => {
  await make("old:1");
  await make("old:1");
  const report = await collect({});
  expect(report.items).toEqual([]);
  expect(report.kept.map(({ why }) => why).join("\n")).toContain("too recently to go");
  const second = await collect({ "keep-recent": "0s" });
  expect(second.items.map(({ rule, names, whole }) => ({ rule, names, whole }))).toEqual([{ rule: "no-name", names: [], whole: true }]);
  await ground.lighter.must("rmi", "old:1");
});

test("the dry run says what would go, why and how much, and it does go", async () => {
  await make("big/one:1", 3_000_000);
  await make("big/two:1", 1_000_000);
  await ground.lighter.must("tag", "big/one:1", "big/alias:7");
  const policy = { ...ALL, pins: ["busybox", "layered*"] };
  const planned = await collect(policy, true);
  expect(namesOf(planned)).toEqual(["big/alias:7", "big/one:1", "big/two:1"]);
  expect(planned.items.every(({ rule, why }) => rule === "unused" && why.startsWith("not used for "))).toBe(true);
  expect(planned.kept.map(({ why }) => why).toSorted()).toEqual(['pinned by "busybox"', 'pinned by "layered*"']);
  const before = await onDisk();
  const said = await ground.lighter.must(
    "gc",
    "--dry-run",
    "--keep-recent",
    "0s",
    "--unused-for",
    "0s",
    "--pin",
    "busybox",
    "--pin",
    "layered*",
  );
  expect(said).toMatch(/remove +big\/alias:7,big\/one:1 .* not used for /);
  expect(said).toContain("Would remove 2 items and free ");
  expect(await ground.lighter.must("images", "-q", "big/one")).not.toBe("");
  const done = await collect(policy);
  expect(namesOf(done)).toEqual(namesOf(planned));
  expect(await ground.lighter.must("images", "--format", "{{.Repository}}")).toMatch(/^(busybox|layered)\n(busybox|layered)$/);
  const freed = before - (await onDisk());
  for (const told of [planned.freed, done.freed]) expect(Math.abs(freed - told) / freed).toBeLessThan(0.01);
  expect(done.freed).toBeGreaterThan(8_000_000);
});

test("the newest tags of a repository stay", async () => {
  for (const tag of ["1", "2", "3"]) await make(`app:${tag}`);
  await ground.lighter.must("tag", "app:1", "other/app:1");
  const policy = { "keep-recent": "0s", "keep-tags": 2 };
  const planned = await collect(policy, true);
  expect(planned.items).toMatchObject([
    { names: ["app:1"], whole: false, rule: "tags", why: "not among the 2 newest tags of app", bytes: 0 },
  ]);
  await ground.lighter.must("rmi", "other/app:1");
  expect((await collect(policy)).items).toMatchObject([{ names: ["app:1"], whole: true }]);
  expect(await ground.lighter.must("images", "--format", "{{.Tag}}", "app")).toBe("3\n2");
});

test("for space, what was used longest ago goes first, and no more than it takes", async () => {
  const { fullness } = await collect({}, true);
  await ground.lighter.must("run", "--rm", "--network", "none", "busybox", "true");
  await make("wide/a:1", 2_000_000);
  await make("wide/b:1", 2_000_000);
  const policy = { "keep-recent": "0s", high: fullness.images + 5_000_000, low: fullness.images + 4_500_000 };
  const planned = await collect(policy, true);
  expect(planned.items.every(({ rule }) => rule === "space")).toBe(true);
  expect(namesOf(planned)).not.toContain("wide/b:1");
  expect(planned.shortage?.bytes).toBeGreaterThan(3_000_000);
  expect(planned.freed).toBeGreaterThan(planned.shortage?.bytes ?? Infinity);
  const refused = await ground.daemon.api("POST", "/lighter/gc", { body: { high: "50%", low: "60%" } });
  expect([refused.status, await refused.json()]).toEqual([400, { message: 'Cannot use the gc policy: "low" is above "high"' }]);
  await ground.lighter.must("rmi", "wide/a:1", "wide/b:1", "app:2", "app:3");
});

test("containers, pins and labels keep their images; events tell what goes", async () => {
  for (const name of ["used:1", "pinned/team:1", "loose:1"]) await make(name);
  await ground.lighter.must("create", "--name", "user", "used:1", "nothing");
  await ground.lighter.must("commit", "-c", "LABEL keep=yes", "user", "labelled:1");
  await ground.lighter.must("image", "pin", "pinned/*", "busybox", "layered");
  expect(await ground.lighter.must("image", "pin")).toBe("busybox\nlayered\npinned/*");
  const id = await ground.lighter.must("inspect", "-f", "{{.Id}}", "loose:1");
  const since = String(Date.now() / 1000);
  const report = await collect({ ...ALL, "pin-labels": ["keep=yes"] });
  expect(namesOf(report)).toEqual(["loose:1"]);
  const why = new Map(report.kept.flatMap((one) => one.names.map((name) => [name, one.why])));
  expect(why.get("used:1")).toBe("used by the container user");
  expect(why.get("pinned/team:1")).toBe('pinned by "pinned/*"');
  expect(why.get("labelled:1")).toBe('pinned by the label "keep=yes"');
  const events = await ground.lighter.must(
    "events",
    "--since",
    since,
    "--until",
    "0s",
    "--filter",
    "type=image",
    "--format",
    "{{.Action}} {{.Actor.ID}}",
  );
  expect(events).toBe(`untag ${id}\ndelete ${id}`);
  await ground.lighter.must("rm", "user");
  await ground.lighter.must("image", "unpin", "pinned/*");
  expect(namesOf(await collect({ ...ALL, "pin-labels": ["keep=yes"] }))).toEqual(["pinned/team:1", "used:1"]);
  await ground.lighter.must("rmi", "labelled:1");
});

test("a run, a pull and the end of a container are uses", async () => {
  const used = async (name: string): Promise<number> => {
    const { kept } = await collect({}, true);
    return Date.parse(kept.find(({ names }) => names.includes(name))?.lastUsed ?? "");
  };
  const first = await used("busybox:latest");
  await ground.lighter.must("run", "--name", "once", "--network", "none", "busybox", "true");
  const second = await used("busybox:latest");
  expect(second).toBeGreaterThan(first);
  await ground.lighter.must("rm", "once");
  const third = await used("busybox:latest");
  expect(third).toBeGreaterThan(second);
  await ground.lighter.must("pull", "-q", `${ground.registry.host}/busybox`);
  expect(await used("busybox:latest")).toBeGreaterThan(third);
  await ground.lighter.must("rmi", `${ground.registry.host}/busybox`);
});

/** Runs a command in an image by the API; undefined where the image had gone before the container was made. */
async function runOnce(image: string, command: string[]): Promise<string | undefined> {
  const { daemon } = ground;
  const body = { Image: image, Cmd: command, HostConfig: { NetworkMode: "none" } };
  const made = await daemon.api("POST", "/containers/create", { body });
  if (made.status === 404) {
    expect(await made.text()).toContain("No such image");
    return undefined;
  }
  const { Id: id } = (await made.json()) as { Id: string };
  await daemon.json("POST", `/containers/${id}/start`);
  await daemon.json("POST", `/containers/${id}/wait`);
  const logs = await daemon.api("GET", `/containers/${id}/logs?stdout=1`);
  const output = Buffer.from(await logs.arrayBuffer())
    .subarray(8)
    .toString();
  await daemon.json("DELETE", `/containers/${id}?force=1`);
  return output;
}

async function pull(name: string): Promise<void> {
  const answer = await ground.daemon.api(
    "POST",
    `/images/create?fromImage=${encodeURIComponent(`${ground.registry.host}/${name}`)}&tag=latest`,
  );
  const text = await answer.text();
  expect(text).not.toContain('"error"');
  expect(text).toContain("Status: ");
}

/** A saved image is whole: every blob that its archive names is in it. */
async function save(name: string): Promise<void> {
  const answer = await ground.daemon.api("GET", `/images/${ground.registry.host}/${name}:latest/get`);
  if (answer.status === 404) return void (await answer.text());
  const archive = ground.path(`${ground.name()}.tar`);
  await Bun.write(archive, answer);
  const script = `tar -tf "$0" > "$0.names" && for digest in $(tar -xOf "$0" manifest.json | grep -o '[0-9a-f]\\{64\\}' | sort -u); do
    test "$(tar -xOf "$0" blobs/sha256/$digest | sha256sum | cut -d' ' -f1)" = "$digest" || exit 1; done; rm "$0" "$0.names"`;
  await must(["sh", "-c", script, archive]);
}

test(
  `a collection in a loop beside pulls, runs, saves, pushes and removals: nothing needed goes (seed ${SEED})`,
  async () => {
    const random = randomOf();
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    // One shares its layer with the image that is pinned, the other has all its layers for itself.
    const remote = ["layered", "variant"];
    const { host } = ground.registry;
    await ground.lighter.must("run", "--name", "varied", "--network", "none", "busybox", "sh", "-c", "echo more > /more");
    await ground.lighter.must("commit", "varied", `${host}/variant`);
    await ground.lighter.must("rm", "varied");
    await ground.lighter.must("push", "-q", `${host}/variant`);
    await ground.lighter.must("image", "pin", "busybox");
    await ground.lighter.run(["image", "unpin", "layered"]);
    const held: string[] = [];
    let ended = false;
    let collections = 0;
    async function collecting(): Promise<void> {
      while (!ended) {
        await collect(ALL);
        collections++;
      }
    }
    const expected: Record<string, [string[], string]> = {
      layered: [["cat", "/data/changed"], "two\n"],
      variant: [["cat", "/more"], "more\n"],
    };
    async function step(): Promise<void> {
      const name = pick(remote);
      const reference = `${ground.registry.host}/${name}:latest`;
      const [command, output] = expected[name] ?? [[], ""];
      const act = random();
      if (act < 0.3) await pull(name);
      else if (act < 0.5) {
        const ran = await runOnce(reference, command);
        if (ran !== undefined) expect(ran).toBe(output);
      } else if (act < 0.6) expect(await runOnce("busybox", ["echo", "pinned"])).toBe("pinned\n");
      else if (act < 0.7) await save(name);
      else if (act < 0.8) {
        const tagged = await ground.daemon.api("POST", `/images/${reference}/tag?repo=${ground.registry.host}/copy-${name}&tag=latest`);
        expect([201, 404]).toContain(tagged.status);
        const pushed = await ground.daemon.api("POST", `/images/${ground.registry.host}/copy-${name}/push?tag=latest`, {
          headers: { "x-registry-auth": "e30=" },
        });
        const text = await pushed.text();
        if (text.includes('"error"')) expect(text).toMatch(/does not exist|removed in the meantime/);
      } else if (act < 0.9) expect([200, 404, 409]).toContain((await ground.daemon.api("DELETE", `/images/${reference}?force=1`)).status);
      else {
        const body = { Image: reference, Cmd: command, HostConfig: { NetworkMode: "none" } };
        const made = await ground.daemon.api("POST", "/containers/create", { body });
        const { Id } = (await made.json()) as { Id?: string };
        if (Id !== undefined) held.push(Id);
      }
    }
    const loops = collecting();
    loops.catch(() => undefined);
    const steps = count(25, 300);
    const workers = [0, 1, 2].map(async () => {
      for (let at = 0; at < steps; at++) await step();
    });
    try {
      await Promise.all(workers);
    } finally {
      ended = true;
      await loops;
    }
    expect(collections).toBeGreaterThan(3);
    await collect(ALL);
    // What containers need is here: each starts.
    for (const id of held) {
      await ground.daemon.json("POST", `/containers/${id}/start`);
      const { StatusCode } = await ground.daemon.json<{ StatusCode: number }>("POST", `/containers/${id}/wait`);
      expect(StatusCode).toBe(0);
      await ground.daemon.json("DELETE", `/containers/${id}`);
    }
    expect(await runOnce("busybox", ["echo", "pinned"])).toBe("pinned\n");
    await until("everything else has gone", async () => {
      await collect(ALL);
      return (await ground.lighter.must("images", "--format", "{{.Repository}}")) === "busybox";
    });
    const { fullness } = await collect({}, true);
    const disk = await onDisk();
    expect(Math.abs(disk - fullness.images) / disk).toBeLessThan(0.01);
    expect((await ground.daemon.log).match(/level=(error|fatal).*/g) ?? []).toEqual([]);
    await figure("images", "operations beside collections in a loop, nothing needed gone", steps * workers.length);
  },
  (60_000 + count(25, 300) * 4000) * SLOW,
);

test(
  `kill -9 at random points of pulls, pushes and collections: what is listed is whole (seed ${SEED})`,
  async () => {
    const random = randomOf(SEED + 1);
    const { host } = ground.registry;
    await ground.lighter.must("image", "pin", "busybox");
    const quietly = (answer: Promise<Response>): Promise<unknown> =>
      answer.then((response) => response.arrayBuffer()).catch(() => undefined);
    for (let round = 0; round < count(4, 60); round++) {
      const { daemon } = ground;
      const noAuth = { headers: { "x-registry-auth": "e30=" } };
      const under = [
        quietly(daemon.api("POST", `/images/create?fromImage=${host}/layered&tag=latest`)),
        quietly(daemon.api("POST", `/images/busybox/tag?repo=${host}/pushed-${round}&tag=latest`)).then(() =>
          quietly(daemon.api("POST", `/images/${host}/pushed-${round}/push?tag=latest`, noAuth)),
        ),
        Bun.sleep(random() * 200).then(() => quietly(daemon.api("POST", "/lighter/gc", { body: ALL }))),
      ];
      await Bun.sleep(random() * 500);
      await daemon.end("SIGKILL");
      await Promise.all(under);
      await daemon.start();
      expect(await runOnce("busybox", ["echo", "pinned"])).toBe("pinned\n");
      for (const image of await daemon.json<{ RepoTags: string[] }[]>("GET", "/images/json"))
        for (const name of image.RepoTags)
          if (name.includes("/layered:")) expect(await runOnce(name, ["cat", "/data/changed"])).toBe("two\n");
      await save("layered");
      await pull("layered");
      expect(await runOnce(`${host}/layered:latest`, ["cat", "/data/changed"])).toBe("two\n");
      if (random() < 0.5) await collect(ALL);
    }
    // What a removal left behind goes on another thread.
    await collect(ALL);
    await until("the disk holds what is told", async () => {
      const { fullness } = await collect({}, true);
      const disk = await onDisk();
      return Math.abs(disk - fullness.images) / disk < 0.01;
    });
    await figure("images", "kill -9 of the daemon at random points of pulls, pushes and collections, nothing lost", count(4, 60));
  },
  (60_000 + count(4, 60) * 15_000) * SLOW,
);

test("by itself, where the configuration says so", async () => {
  await make("soon/gone:1");
  await Bun.write(ground.path("daemon.json"), JSON.stringify({ gc: { every: "1s", "keep-recent": "0s", "unused-for": "1s" } }));
  await ground.daemon.end();
  (ground.daemon.flags as string[]).push("--config-file", ground.path("daemon.json"));
  await ground.daemon.start();
  await until("it has gone", async () => (await ground.lighter.must("images", "-q", "soon/gone")) === "", { timeout: 30_000 });
  expect(await (await ground.daemon.api("GET", "/lighter/gc")).json()).toMatchObject({ automatic: true, everySeconds: 1 });
  expect(await ground.lighter.must("run", "--rm", "--network", "none", "busybox", "echo", "pinned")).toBe("pinned");
  // A reload switches it off.
  await Bun.write(ground.path("daemon.json"), JSON.stringify({ gc: { enabled: false } }));
  process.kill(ground.daemon.pid, "SIGHUP");
  const isAutomatic = async (): Promise<boolean> =>
    ((await (await ground.daemon.api("GET", "/lighter/gc")).json()) as { automatic: boolean }).automatic;
  await until("it is off", async () => !(await isAutomatic()));
});
