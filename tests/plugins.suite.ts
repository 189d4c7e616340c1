/** docker's own plugins, of Debian, under our client: compose and buildx. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { cliPlugins } from "../tools/programs.ts";
import { Ground } from "./harness/ground.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  const folder = join(ground.clientEnv("lighter")["DOCKER_CONFIG"] ?? "", "cli-plugins");
  await mkdir(folder, { recursive: true });
  for (const path of await cliPlugins()) await symlink(path, join(folder, path.split("/").at(-1) ?? ""));
  await Bun.write(ground.path("project/compose.yaml"), PROJECT);
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

const PROJECT = `
services:
  web:
    image: busybox
    command: sh -c "mkdir /www; echo from web > /www/index.html; exec httpd -f -p 80 -h /www"
    volumes: [data:/data]
    environment: { A: b }
  asker:
    image: busybox
    depends_on: [web]
    command: sh -c "until wget -qO- http://web/; do sleep 0.1; done; exec sleep 600"
volumes:
  data:
`;

async function compose(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await ground.lighter.run(["compose", ...args], { cwd: ground.path("project") });
  if (code !== 0) throw new Error(`compose ${args.join(" ")}: exit code ${code}: ${stderr}${stdout}`);
  return stdout + stderr;
}

test("their versions", async () => {
  expect(await compose("version")).toMatch(/Docker Compose version/);
  expect(await ground.lighter.must("buildx", "version")).toMatch(/buildx/);
});

test("they are in the help, in info and completed", async () => {
  const help = await ground.lighter.must("--help");
  expect(help).toMatch(/^ {2}compose\* +Docker Compose$/m);
  expect(help).toMatch(/^ {2}buildx\* +\S/m);
  const info = JSON.parse(await ground.lighter.must("info", "--format", "{{json .ClientInfo.Plugins}}")) as { Name: string }[];
  expect(info.map(({ Name }) => Name).sort()).toEqual(["buildx", "compose"]);
  expect(await ground.lighter.must("__complete", "comp")).toMatch(/^compose\t/m);
  expect(await ground.lighter.must("__complete", "compose", "conf")).toMatch(/^config\t/m);
});

test("a project of two services goes up, runs, and down", async () => {
  await compose("up", "-d", "--quiet-pull");
  expect(await compose("ps", "--services")).toContain("asker");
  for (;;) if ((await compose("logs", "--no-color", "asker")).includes("from web")) break;
  expect(await compose("exec", "-T", "web", "sh", "-c", "echo $A")).toBe("b\n");
  await compose("restart", "-t", "0", "web");
  await compose("up", "-d", "--scale", "web=2", "--no-recreate");
  expect((await compose("ps", "-q", "web")).trim().split("\n")).toHaveLength(2);
  await compose("down", "-v", "-t", "0");
  expect(await ground.lighter.must("ps", "-aq")).toBe("");
  expect(await ground.lighter.must("volume", "ls", "-q")).toBe("");
});

test("a plugin's exit code is ours", async () => {
  const { code } = await ground.lighter.run(["compose", "frobnicate"]);
  expect(code).not.toBe(0);
});
