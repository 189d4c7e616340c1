/** Debian's docker-compose on one project, against Debian's dockerd and against us: the same output and exit codes, command by command. Deadline: 400 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { startDockerd, type Engine } from "../bench/peer.ts";
import { cliPlugins } from "../tools/programs.ts";
import { run } from "../tools/shell.ts";
import { testImage } from "../tools/test-images.ts";
import { projectOn } from "./harness/compose-project.ts";
import { FULL } from "./harness/counts.ts";
import { figure } from "./harness/figures.ts";
import { Ground } from "./harness/ground.ts";
import { freePort } from "./harness/ports.ts";
import { SLOW } from "./harness/until.ts";

/** dockerd takes its time: it is asked in `./test --full` alone. */
const peered = test.skipIf(!FULL);

let ground: Ground;
let peer: Engine;
let program: string;
beforeAll(async () => {
  if (!FULL) return;
  ground = await Ground.lay(["busybox"]);
  program = (await cliPlugins()).find((path) => path.endsWith("/docker-compose")) ?? "";
  peer = await startDockerd(ground.path("dockerd"));
  const load = await run([ground.client("docker 20.10").program, "load", "-q", "-i", (await testImage("busybox")).archive], {
    env: { DOCKER_HOST: peer.host },
  });
  expect(load.code).toBe(0);
  const port = freePort();
  for (const folder of ["theirs", "ours"]) {
    await Bun.write(ground.path(folder, "compose.yaml"), projectOn(port));
    await Bun.write(ground.path(folder, "password"), "secret\n");
    await Bun.write(ground.path(folder, "page"), "page\n");
  }
}, 60_000);
afterAll(async () => {
  await peer?.[Symbol.asyncDispose]();
  await ground?.[Symbol.asyncDispose]();
});

/** What a user types, in turn; `MODE=two` before a command changes what the project says. */
const COMMANDS = [
  "config --services",
  "up -d --quiet-pull",
  "ps -a --format {{.Name}} {{.Service}} {{.State}} {{.Health}} {{.ExitCode}}",
  "ps --services",
  "ps nobody",
  "up -d --quiet-pull",
  "logs --no-log-prefix --no-color init",
  "exec -T api cat /run/secrets/password",
  "exec -T api sh -c exit\\ 7",
  "exec -T nobody true",
  "run --rm -T --no-deps api echo one-off",
  "run --rm -T --no-deps api sh -c exit\\ 5",
  "cp proxy:/www/page copied",
  "cp copied db:/copied",
  "cp db:/nothing copied",
  "exec -T db cat /copied",
  "port proxy 80",
  "up -d --scale worker=3 --quiet-pull",
  "ps --format {{.Name}} {{.State}} worker",
  "MODE=two up -d --quiet-pull",
  "MODE=two exec -T api sh -c echo\\ $MODE",
  "restart -t 2 proxy",
  "pause db",
  "ps --format {{.Name}} {{.State}} db",
  "unpause db",
  "stop -t 5 worker",
  "ps -a --format {{.Name}} {{.State}} {{.ExitCode}} worker",
  "start worker",
  "kill worker",
  "rm -f worker",
  "--profile debug up --no-log-prefix debug",
  "up -d --no-such-flag",
  "down -v -t 2",
  "ps -a --format {{.Name}} {{.State}}",
  "down -v",
];

/** Words of a command: a backslash keeps a blank within one, as do the braces of a template. */
function wordsOf(command: string): string[] {
  const found = command.match(/(?:\\ |\{\{.*\}\}|\S)+/g) ?? [];
  return found.map((word) => word.replaceAll("\\ ", " "));
}

/** A template with blanks in it is one word: what stands before the service's name. */
function argumentsOf(command: string): string[] {
  const template = / (\{\{.*\}\})(?: (\w+))?$/.exec(command);
  if (template === null) return wordsOf(command);
  return [...wordsOf(command.slice(0, template.index)), template[1] ?? "", ...(template[2] === undefined ? [] : [template[2]])];
}

/** What a command said, without what no two runs share: ids, times, and the order of what happens at once. */
function plain(text: string): string[] {
  return text
    .replaceAll("\u001b[2K", "")
    .replaceAll(/\b[0-9a-f]{64}\b/g, "ID")
    .replaceAll(/\bapi-run-[0-9a-f]{12}\b/g, "api-run-ID")
    .replaceAll(/\d+(\.\d+)?(ms|s)\b/g, "TIME")
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "")
    .sort();
}

interface Said {
  command: string;
  code: number;
  lines: string[];
}

async function session(folder: string, host: string): Promise<Said[]> {
  const said: Said[] = [];
  for (const command of COMMANDS) {
    const [mode, rest = command] = command.startsWith("MODE=") ? ["two", command.slice(command.indexOf(" ") + 1)] : ["one"];
    const env = { DOCKER_HOST: host, HOME: ground.path(folder), MODE: mode };
    const options = { cwd: ground.path(folder), env, timeout: 90_000 * SLOW };
    const { code, stdout, stderr } = await run([program, "--ansi", "never", "--progress", "plain", ...argumentsOf(rest)], options);
    said.push({ command, code, lines: plain(stdout + stderr) });
  }
  return said;
}

peered(
  "a session with a project of five services",
  async () => {
    const theirs = await session("theirs", peer.host);
    const ours = await session("ours", `unix://${ground.daemon.socket}`);
    for (const [index, said] of theirs.entries()) expect(ours[index]).toEqual(said);
    await figure(
      "networks",
      "docker-compose 2.26 on five services: commands with the same output and exit code as against dockerd 20.10",
      `${ours.length} of ${theirs.length}`,
    );
  },
  400_000,
);
