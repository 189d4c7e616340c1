/** What Docker's own clients of several ages are told while they work is what the API's definition says. Deadline: 150 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { run } from "../tools/shell.ts";
import { Client } from "./harness/client.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { Recorder, type Passed } from "./harness/recorder.ts";
import { Schema } from "./harness/schema.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  await Bun.write(ground.path("file"), "content");
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

/** One life of a container, an image, a network and a volume. */
const COMMANDS = [
  "version",
  "info",
  "volume create --label a=b vol",
  "volume create",
  "volume ls",
  "volume inspect vol",
  "network create --label a=b net",
  "network ls",
  "network inspect net bridge",
  "create --name web --network net --hostname web -e A=b -l c=d -v vol:/v -v /anon -p 127.0.0.1::80 --memory 64m --restart on-failure:3 busybox sh -c 'trap exit TERM; while :; do echo tick; sleep 0.2; done'",
  "start web",
  "ps -a -s --no-trunc",
  "inspect web",
  "inspect -s --type container web",
  "port web",
  "top web",
  "logs --tail 1 -t web",
  "stats --no-stream --no-trunc web",
  "exec web true",
  "exec -d web true",
  "exec -it=false -e X=y -w / web sh -c 'echo $X > /written'",
  "diff web",
  "cp FILE web:/copied",
  "cp web:/copied -",
  "network connect bridge web",
  "inspect web",
  "network disconnect bridge web",
  "rename web site",
  "pause site",
  "unpause site",
  "update --memory 128m --memory-swap 256m site",
  "restart -t 1 site",
  "commit -m word site made",
  "kill -s KILL site",
  "wait site",
  "start site",
  "stop -t 1 site",
  "export -o FILE.tar site",
  "images -a --digests --no-trunc",
  "inspect busybox",
  "image inspect made",
  "history made",
  "tag busybox other:1",
  "save -o FILE.tar other:1",
  "rmi other:1 made",
  "system df -v",
  "events --since 1h --until 0s",
  "rm -v site",
  "run --rm busybox true",
  "container prune -f",
  "network prune -f",
  "volume prune -f",
  "image prune -f",
  "volume rm -f vol",
  "plugin ls",
  "system prune -f --volumes",
];

/** Answers that are streams of objects. */
const STREAMS = /^\/(?:events|images\/create|images\/load|build)$|\/(?:start|stats|push|wait)$/;

/** What of the answers is not as defined. Fields that only old versions have are allowed to them: `versions.ts` has the table of these. */
function differences(schema: Schema, passed: readonly Passed[]): string[] {
  const found = new Set<string>();
  for (const { method, path, version, status, type, body } of passed) {
    if (path === "/_ping") continue;
    if (path === "/session" || path === "/grpc") continue;
    try {
      const json = type.startsWith("application/json");
      const whole = !STREAMS.test(path) && method !== "HEAD";
      schema.check(method, path, status, !whole ? null : json ? JSON.parse(body) : body === "" && status !== 200 ? null : body);
    } catch (error) {
      const lines = String((error as Error).message).split("\n");
      const wrong = lines.length === 1 ? lines : lines.slice(1).filter((line) => !line.includes("is not in the definition"));
      for (const line of wrong) found.add(`${method} ${path} (${version}) ${status}: ${line.trim()}`);
    }
  }
  return [...found];
}

/** The clients of the harness, and the one that is installed, where that is a newer one still. */
async function clients(recorder: Recorder): Promise<Client[]> {
  const found = CLIENTS.filter((name) => name !== "lighter").map((name) => ground.client(name));
  const installed = Bun.which("docker");
  const version = installed === null ? "" : /version (\d+)\./.exec((await run([installed, "--version"])).stdout)?.[1];
  if (installed !== null && Number(version) > 26) found.push(new Client(`docker ${version}`, installed, ground.clientEnv("installed")));
  return found.map(({ name, program, env }) => new Client(name, program, { ...env, DOCKER_HOST: `unix://${recorder.socket}` }));
}

test("every answer to docker's clients is as the API defines it", async () => {
  await using recorder = await Recorder.start(ground.path("recorder.sock"), ground.daemon.socket);
  const schema = new Schema();
  const versions = new Set<string>();
  for (const client of await clients(recorder)) {
    const failed: string[] = [];
    for (const command of COMMANDS) {
      const line = command.replaceAll("FILE", ground.path("file"));
      const { code, stderr } = await run(["sh", "-c", `exec "$0" ${line}`, client.program], { env: client.env, timeout: 60_000 });
      if (code !== 0) failed.push(`${client.name} ${command}: ${code} ${stderr}`);
      if (/warning/i.test(stderr) && !/memory swap|swap limit/i.test(stderr)) failed.push(`${client.name} ${command} warns: ${stderr}`);
    }
    expect(failed).toEqual([]);
    for (const { version } of recorder.passed()) versions.add(version);
  }
  const passed = recorder.passed();
  expect(differences(schema, passed)).toEqual([]);
  expect(passed.filter(({ status }) => status >= 500).map(({ method, path, body }) => `${method} ${path}: ${body}`)).toEqual([]);
  expect(passed.length).toBeGreaterThan(2 * COMMANDS.length);
  expect([...versions]).toEqual(expect.arrayContaining(["1.41", "1.45"]));
}, 140_000);
