/** Images made of containers: what is in them, what they say, and that their digest stays. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { leftovers } from "./harness/leftovers.ts";
import { until } from "./harness/until.ts";

const WRITES = `mkdir -p /new/deep && echo one > /new/deep/file && rm /bin/vi && rm -r /root && mkdir /root && echo r > /root/r &&
  ln -s /bin/sh /new/link && ln /new/deep/file /new/hard && mkfifo /new/pipe && chmod 2751 /new/deep && chown 7:8 /new/deep/file &&
  truncate -s 64M /new/sparse && mknod /new/null c 1 3`;
const SHOWS = `cat /new/deep/file /root/r; ls /root; test -e /bin/vi || echo gone; readlink /new/link; stat -c '%a %u:%g %h' /new/deep/file /new/deep;
  test -p /new/pipe && test -c /new/null && stat -c %s /new/sparse; head -c 4096 /new/sparse | tr -d '\\0' | wc -c`;
const SHOWN = "one\nr\nr\ngone\n/bin/sh\n644 7:8 2\n2751 0:0 2\n67108864\n0";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  await ground.lighter.must("run", "-d", "--name", "running", "-e", "A=b", "-l", "l=x", "busybox", "sh", "-c", `${WRITES}; sleep 600`);
  await ground.lighter.must("run", "--name", "stopped", "--workdir", "/new", "busybox", "sh", "-c", WRITES);
  await until("the files are there", async () => (await ground.lighter.run(["exec", "running", "test", "-e", "/new/null"])).code === 0);
}, 120_000);
afterAll(async () => await ground?.[Symbol.asyncDispose]());

interface ImageOfDocker {
  Id: string;
  Author: string;
  Comment: string;
  Config: Record<string, unknown>;
  RootFS: { Layers: string[] };
}

async function inspected(image: string): Promise<ImageOfDocker> {
  return ground.daemon.json<ImageOfDocker>("GET", `/images/${image}/json`);
}

interface Told {
  Action: string;
  Actor: { Attributes: Record<string, string> };
}

async function eventsOf({ since, container }: { since: number; container?: string }): Promise<Told[]> {
  const filters = encodeURIComponent(JSON.stringify(container === undefined ? {} : { container: [container] }));
  const answer = await ground.daemon.api("GET", `/events?since=${since}&until=${Date.now() / 1000 + 0.1}&filters=${filters}`);
  return (await answer.text()).split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Told]));
}

for (const name of CLIENTS) {
  test(`${name}: running and stopped containers become images that run`, async () => {
    const client = ground.client(name);
    for (const container of ["running", "stopped"]) {
      const id = await client.must("commit", "-a", "me", "-m", "why", container, `made-${container}:1`);
      expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
      expect(await client.must("run", "--rm", `made-${container}:1`, "sh", "-c", SHOWS)).toBe(SHOWN);
      expect(await client.must("diff", await client.must("create", `made-${container}:1`))).toBe("");
      const image = await inspected(`made-${container}:1`);
      expect(image).toMatchObject({ Id: id, Author: "me", Comment: "why" });
      expect(image.RootFS.Layers).toHaveLength(2);
    }
    expect(await client.must("history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "made-stopped:1")).toStartWith(
      `sh -c ${WRITES.replaceAll(/\s+/g, " ")}|why\n`.slice(0, 40),
    );
  });

  test(`${name}: instructions, and what the container was made with`, async () => {
    const client = ground.client(name);
    const changes = [
      'CMD ["run", "me"]',
      "ENV B=${A}c D='e f'",
      "EXPOSE 80 53/udp",
      "LABEL k=v",
      "USER 7:8",
      "VOLUME /data",
      "WORKDIR sub",
      "ONBUILD RUN x",
      "STOPSIGNAL SIGQUIT",
      "HEALTHCHECK --retries=2 CMD true",
    ];
    await client.must("commit", ...changes.flatMap((change) => ["--change", change]), "running", "changed");
    expect((await inspected("changed")).Config).toEqual({
      Cmd: ["run", "me"],
      Env: ["A=b", expect.stringMatching(/^PATH=/), "B=bc", "D=e f"],
      ExposedPorts: { "80/tcp": {}, "53/udp": {} },
      Labels: { l: "x", k: "v" },
      User: "7:8",
      Volumes: { "/data": {} },
      WorkingDir: "/sub",
      OnBuild: ["RUN x"],
      StopSignal: "SIGQUIT",
      Healthcheck: { Test: ["CMD-SHELL", "true"], Retries: 2 },
    });
    await client.must("commit", "-c", 'ENTRYPOINT ["e"]', "running", "changed");
    expect((await inspected("changed")).Config).toMatchObject({ Entrypoint: ["e"] });
    expect((await inspected("changed")).Config["Cmd"] ?? null).toBeNull();
    const refused = await client.run(["commit", "--change", "RUN x", "running"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("run is not a valid change command")]);
  });

  if (name !== "docker 20.10")
    test(`${name}: the digest stays after a push and a pull`, async () => {
      const client = ground.client(name);
      const reference = `${ground.registry.host}/${name.replaceAll(/\W/g, "")}/made:1`;
      const id = await client.must("commit", "stopped", reference);
      expect(await client.must("push", reference)).toContain(`digest: ${id}`);
      await client.must("rmi", reference);
      await client.must("pull", reference);
      expect((await inspected(reference)).Id).toBe(id);
      expect(await client.must("run", "--rm", reference, "sh", "-c", SHOWS)).toBe(SHOWN);
      await client.must("rmi", reference);
    });
}

test("save and load give the same image", async () => {
  const id = await ground.lighter.must("commit", "stopped", "saved:1");
  await ground.lighter.must("save", "-o", ground.path("saved.tar"), "saved:1");
  await ground.lighter.must("rmi", "saved:1");
  await ground.lighter.must("load", "-i", ground.path("saved.tar"));
  expect((await inspected("saved:1")).Id).toBe(id);
  expect(await ground.lighter.must("run", "--rm", "saved:1", "sh", "-c", SHOWS)).toBe(SHOWN);
});

test("events: pause, tag, commit, unpause; nothing of a pause without one", async () => {
  const since = Date.now() / 1000;
  await ground.lighter.must("commit", "-m", "why", "running", "told:1");
  await ground.lighter.must("commit", "--no-pause", "running");
  await ground.lighter.must("commit", "stopped");
  const events = await eventsOf({ since });
  expect(events.map(({ Action }) => Action)).toEqual(["pause", "tag", "commit", "unpause", "commit", "commit"]);
  const { Id } = await inspected("told:1");
  expect(events[2]?.Actor.Attributes).toMatchObject({ comment: "why", imageID: Id, imageRef: "told:1", name: "running", l: "x" });
});

test("a paused container stays paused, one that was refused goes on", async () => {
  await ground.lighter.must("pause", "running");
  await ground.lighter.must("commit", "running");
  expect(await ground.lighter.must("inspect", "-f", "{{.State.Paused}}", "running")).toBe("true");
  await ground.lighter.must("unpause", "running");
  await ground.daemon.failure("POST", "/commit?container=running&changes=RUN%20x");
  expect(await ground.lighter.must("inspect", "-f", "{{.State.Paused}}", "running")).toBe("false");
  expect(await ground.lighter.must("exec", "running", "echo", "on")).toBe("on");
});

test("status and text of what is refused", async () => {
  const cases = [
    ["container=nobody", 404, "No such container: nobody"],
    ["", 400, 'invalid name or ID supplied: ""'],
    ["container=running&changes=FROM%20x", 400, "from is not a valid change command"],
    ["container=running&changes=ENV%20a", 400, "ENV must have two arguments"],
    ["container=running&changes=ONBUILD%20FROM%20x", 400, "FROM isn't allowed as an ONBUILD trigger"],
  ] as const;
  for (const [query, status, message] of cases)
    expect(await ground.daemon.failure("POST", `/commit?${query}`)).toEqual({ status, message });
  expect(await ground.daemon.failure("POST", "/commit?container=running&repo=UPPER")).toMatchObject({
    status: 400,
    message: expect.stringContaining("must be lowercase") as unknown,
  });
});

test("a configuration in the body takes the place of the container's, which fills what is missing", async () => {
  const { Id } = await ground.daemon.json<{ Id: string }>("POST", "/commit?container=running", {
    body: { Cmd: ["z"], Env: ["A=c"], Labels: { n: "m" } },
  });
  expect((await inspected(Id)).Config).toMatchObject({
    Cmd: ["z"],
    Env: ["A=c", expect.stringMatching(/^PATH=/)],
    Labels: { n: "m", l: "x" },
  });
});

test("nothing changed, no layer", async () => {
  const id = await ground.lighter.must("create", "busybox");
  const image = await ground.lighter.must("commit", "-m", "empty", id);
  expect((await inspected(image)).RootFS.Layers).toHaveLength(1);
  expect(await ground.lighter.must("run", "--rm", image, "echo", "runs")).toBe("runs");
});

/** A running container with so much in its writable layer that a commit takes a while; its id. */
async function runWithMuch(): Promise<string> {
  const write = "dd if=/dev/urandom of=/big bs=1M count=96 2> /dev/null; echo written; sleep 600";
  const id = await ground.lighter.must("run", "-d", "busybox", "sh", "-c", write);
  await until("the file is there", async () => (await ground.lighter.run(["logs", id])).stdout.includes("written"));
  return id;
}

test("a client that gives up leaves a container that runs, and no content", async () => {
  const id = await runWithMuch();
  await ground.lighter.must("image", "prune", "-af");
  const before = await leftovers(ground.daemon);
  const stop = new AbortController();
  const asked = ground.daemon.api("POST", `/commit?container=${id}`, { signal: stop.signal }).then(
    () => "made",
    () => "given up",
  );
  await until("it is frozen", async () => (await eventsOf({ since: 1, container: id })).some(({ Action }) => Action === "pause"));
  stop.abort();
  expect(await asked).toBe("given up");
  expect(await ground.lighter.must("exec", id, "echo", "on")).toBe("on");
  await until("all is as it was", async () => Bun.deepEquals((await leftovers(ground.daemon)).files, before.files), { timeout: 20_000 });
  await ground.lighter.must("rm", "-f", id);
});

test("a daemon that is killed in the middle leaves a container that runs, and no content", async () => {
  const id = await runWithMuch();
  const before = await leftovers(ground.daemon);
  const asked = ground.daemon.api("POST", `/commit?container=${id}&repo=never`).then(
    () => "made",
    () => "cut off",
  );
  await until("it is frozen", async () => (await eventsOf({ since: 1, container: id })).some(({ Action }) => Action === "pause"));
  await ground.daemon.end("SIGKILL");
  expect(await asked).toBe("cut off");
  await ground.daemon.start();
  expect(await ground.lighter.must("exec", id, "echo", "on")).toBe("on");
  expect((await ground.lighter.run(["image", "inspect", "never"])).code).toBe(1);
  await ground.lighter.must("image", "prune", "-f");
  let files: string[] = [];
  await until("all is as it was", async () => Bun.deepEquals((files = (await leftovers(ground.daemon)).files), before.files), {
    timeout: 20_000,
  }).catch(() => expect(files).toEqual(before.files));
  await ground.lighter.must("rm", "-f", id);
});
