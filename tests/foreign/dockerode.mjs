// dockerode (npm), unmodified.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { load, runAll, test } from "./report.mjs";

const Docker = load("dockerode");
const docker = new Docker({ socketPath: process.env.DOCKER_HOST.replace("unix://", "") });

/** A running container that sleeps. */
async function sleeping(options = {}) {
  const container = await docker.createContainer({ Image: "busybox", Cmd: ["sleep", "600"], ...options });
  await container.start();
  return container;
}

/** Waits until something holds: a program is not there the moment its container is started. */
async function until(holds) {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Both streams of a multiplexed one, when it has ended. */
async function split(stream) {
  const [out, err] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, out, err);
  stream.once("end", () => (out.end(), err.end()));
  return await Promise.all([text(out), text(err)]);
}

test("version, info and ping", async () => {
  const { ApiVersion, Os } = await docker.version();
  match(ApiVersion, /^1\.\d+$/);
  equal(Os, "linux");
  equal(String(await docker.ping()), "OK");
  ok((await docker.info()).Images >= 1);
});

test("run gives output and exit code", async () => {
  const out = new PassThrough();
  const [{ StatusCode }, container] = await docker.run("busybox", ["sh", "-c", "echo hello; exit 3"], out);
  equal(StatusCode, 3);
  match(await text(out.end()), /hello/);
  await container.remove();
});

test("attach with standard input, both streams apart", async () => {
  const container = await docker.createContainer({
    Image: "busybox",
    Cmd: ["sh", "-c", "cat; echo err >&2; exit 4"],
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
  });
  const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const both = split(stream);
  await container.start();
  stream.end("hello\n");
  equal((await container.wait()).StatusCode, 4);
  deepEqual(await both, ["hello\n", "err\n"]);
  await container.remove();
});

test("a terminal: attach, resize, detach", async () => {
  const container = await docker.createContainer({ Image: "busybox", Cmd: ["sh"], Tty: true, OpenStdin: true });
  const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  await container.start();
  await container.resize({ h: 33, w: 99 });
  let seen = "";
  const size = new Promise((resolve) => {
    stream.on("data", (bytes) => {
      seen += bytes;
      if (/33 99\r\n/.test(seen)) resolve();
    });
  });
  stream.write("stty size\n");
  await size;
  stream.end();
  await container.remove({ force: true });
});

test("exec: streams, input, exit code, user and environment", async () => {
  const container = await sleeping();
  const exec = await container.exec({
    Cmd: ["sh", "-c", "read line; echo $line $X $(id -u); echo err >&2; exit 5"],
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Env: ["X=1"],
    User: "33",
  });
  const stream = await exec.start({ hijack: true, stdin: true });
  const both = split(stream);
  stream.write("typed\n");
  deepEqual(await both, ["typed 1 33\n", "err\n"]);
  const { ExitCode, Running } = await exec.inspect();
  deepEqual([ExitCode, Running], [5, false]);
  await container.remove({ force: true });
});

test("archives in and out", async () => {
  const container = await sleeping();
  const pack = load("tar-stream").pack();
  pack.entry({ name: "sent", mode: 0o640 }, "content\n");
  pack.finalize();
  await container.putArchive(Readable.from([await buffer(pack)]), { path: "/tmp" });
  const extract = load("tar-stream").extract();
  const found = {};
  extract.on("entry", (header, stream, next) => {
    text(stream).then((content) => ((found[header.name] = [header.mode & 0o7777, content]), next()), next);
  });
  const archive = await container.getArchive({ path: "/tmp/sent" });
  await new Promise((resolve, reject) => archive.pipe(extract).on("finish", resolve).on("error", reject));
  deepEqual(found, { sent: [0o640, "content\n"] });
  const info = await container.infoArchive({ path: "/tmp/sent" });
  match(info.headers["x-docker-container-path-stat"], /^[\w+/=]+$/);
  await container.remove({ force: true });
});

test("logs: whole, tail, followed to the end, with times", async () => {
  const container = await docker.createContainer({ Image: "busybox", Cmd: ["sh", "-c", "for n in 1 2 3; do echo $n; sleep 0.1; done"] });
  await container.start();
  deepEqual(await split(await container.logs({ follow: true, stdout: true, stderr: true })), ["1\n2\n3\n", ""]);
  const tail = await container.logs({ stdout: true, tail: 1, timestamps: true });
  match(tail.subarray(8).toString(), /^\d{4}-\d\d-\d\dT[\d:.]+Z 3\n$/);
  await container.remove();
});

test("stats: one answer and a stream", async () => {
  const container = await sleeping();
  const once = await container.stats({ stream: false });
  ok(once.memory_stats.usage > 0);
  equal(once.id, container.id);
  const stream = await container.stats({ stream: true });
  const [line] = await new Promise((resolve, reject) => {
    let seen = "";
    stream.on("error", reject);
    stream.on("data", (bytes) => {
      seen += bytes;
      if (seen.includes("\n")) resolve(seen.split("\n"));
    });
  });
  equal(JSON.parse(line).id, container.id);
  stream.destroy();
  await container.remove({ force: true });
});

test("events of a run", async () => {
  const stream = await docker.getEvents({ filters: { container: ["eventful"] } });
  const actions = [];
  const ended = new Promise((resolve) => {
    let rest = "";
    stream.on("data", (bytes) => {
      const lines = (rest + bytes).split("\n");
      rest = lines.pop();
      for (const { Type, Action } of lines.filter(Boolean).map((line) => JSON.parse(line))) if (Type === "container") actions.push(Action);
      if (actions.includes("destroy")) resolve();
    });
  });
  const container = await docker.createContainer({ Image: "busybox", Cmd: ["true"], name: "eventful" });
  await container.start();
  await container.wait();
  await container.remove();
  await ended;
  deepEqual(actions, ["create", "start", "die", "destroy"]);
  stream.destroy();
});

test("list by filters, rename, pause, restart, kill, top, changes", async () => {
  const container = await sleeping({ name: "before", Labels: { kind: "listed" } });
  const list = await docker.listContainers({ filters: { label: ["kind=listed"], status: ["running"] } });
  deepEqual([list.length, list[0].Names], [1, ["/before"]]);
  await container.rename({ name: "after" });
  equal((await container.inspect()).Name, "/after");
  await container.pause();
  equal((await container.inspect()).State.Status, "paused");
  await container.unpause();
  await until(async () => JSON.stringify(await container.top({ ps_args: "-ef" })).includes("sleep 600"));
  await text(await (await container.exec({ Cmd: ["touch", "/tmp/new"] })).start({}));
  await container.restart({ t: 0 });
  await container.kill({ signal: "KILL" });
  equal((await container.wait()).StatusCode, 137);
  deepEqual(await container.changes(), [
    { Path: "/tmp", Kind: 0 },
    { Path: "/tmp/new", Kind: 1 },
  ]);
  await container.remove();
});

test("update and commit", async () => {
  const container = await sleeping();
  await container.update({ Memory: 134217728, MemorySwap: 134217728 });
  equal((await container.inspect()).HostConfig.Memory, 134217728);
  const exec = await container.exec({ Cmd: ["sh", "-c", "echo kept > /kept"] });
  const stream = await exec.start({});
  await text(stream);
  const { Id } = await container.commit({ repo: "committed", tag: "1", changes: "CMD cat /kept" });
  match(Id, /^sha256:/);
  const out = new PassThrough();
  const [{ StatusCode }, copy] = await docker.run("committed:1", [], out);
  equal(StatusCode, 0);
  match(await text(out.end()), /kept/);
  await copy.remove();
  await container.remove({ force: true });
  await docker.getImage("committed:1").remove();
});

test("networks and volumes", async () => {
  const network = await docker.createNetwork({ Name: "of-dockerode", Labels: { a: "b" } });
  const volume = await docker.createVolume({ Name: "of-dockerode" });
  const container = await sleeping({ HostConfig: { Binds: [`${volume.name ?? volume.Name}:/data`] } });
  await network.connect({ Container: container.id, EndpointConfig: { Aliases: ["other"] } });
  const { Containers } = await network.inspect();
  deepEqual(Object.keys(Containers), [container.id]);
  await network.disconnect({ Container: container.id, Force: true });
  await container.remove({ force: true });
  await network.remove();
  equal((await docker.listVolumes({ filters: { name: ["of-dockerode"] } })).Volumes.length, 1);
  await docker.getVolume("of-dockerode").remove();
});

test("images: list, inspect, history, tag, save and load", async () => {
  const image = docker.getImage("busybox");
  match((await image.inspect()).Id, /^sha256:/);
  ok((await image.history()).length >= 1);
  await image.tag({ repo: "renamed", tag: "1" });
  const archive = await buffer(await docker.getImage("renamed:1").get());
  await docker.getImage("renamed:1").remove();
  const progress = await docker.loadImage(Readable.from([archive]));
  await new Promise((resolve, reject) => docker.modem.followProgress(progress, (error, lines) => (error ? reject(error) : resolve(lines))));
  const list = await docker.listImages({ filters: { reference: ["renamed:1"] } });
  equal(list.length, 1);
  await docker.getImage("renamed:1").remove();
});

test("errors carry Docker's status codes", async () => {
  await rejects(docker.getContainer("nobody").inspect(), { statusCode: 404 });
  await rejects(docker.createContainer({ Image: "nothing-of-this-name" }), { statusCode: 404 });
  const container = await sleeping({ name: "taken" });
  await rejects(docker.createContainer({ Image: "busybox", name: "taken" }), { statusCode: 409 });
  await rejects(container.remove(), { statusCode: 409 });
  await rejects(container.start(), { statusCode: 304 });
  await container.remove({ force: true });
});

test("an abort ends a call", async () => {
  const container = await sleeping();
  const controller = new AbortController();
  const waiting = container.wait({ abortSignal: controller.signal });
  setTimeout(() => controller.abort(), 100);
  await rejects(waiting, { name: "AbortError" });
  await container.remove({ force: true });
});

await runAll();
process.exit(0);
