/** Real shells complete our words, by our scripts and by those of Debian's docker; and manual pages. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { dockerClient, mandoc, shells } from "../tools/programs.ts";
import { must, run } from "../tools/shell.ts";
import { LIGHTER } from "./harness/daemon.ts";
import { Ground } from "./harness/ground.ts";
import { Terminal } from "./harness/terminal.ts";

let ground: Ground;
let env: Record<string, string>;
let folders: Awaited<ReturnType<typeof shells>>;
beforeAll(async () => {
  folders = await shells();
  ground = await Ground.lay(["busybox"]);
  const { lighter } = ground;
  await lighter.must("run", "-d", "--name", "alive", "busybox", "sleep", "600");
  await lighter.must("create", "--name", "asleep", "busybox");
  await lighter.must("network", "create", "wires");
  await lighter.must("volume", "create", "jars");
  await lighter.must("context", "create", "far", "--docker", "host=tcp://192.0.2.1:2375");
  const bin = ground.path("bin");
  await mkdir(bin);
  for (const name of ["lighter", "docker"]) await symlink(LIGHTER, join(bin, name));
  env = { ...ground.clientEnv("lighter"), PATH: `${bin}:${process.env["PATH"]}`, LD_LIBRARY_PATH: folders.libraries };
  for (const shell of ["bash", "zsh", "fish"]) await Bun.write(ground.path(`script.${shell}`), await lighter.must("completion", shell));
  // fish takes what stands beside it where it finds a folder of settings, too.
  const fish = ground.path("fish");
  await mkdir(join(fish, "bin"), { recursive: true });
  await cp(join(folders.fish, "usr/bin/fish"), join(fish, "bin/fish"));
  await symlink(join(folders.fishData, "usr/share"), join(fish, "share"));
  await symlink(join(folders.fishData, "etc"), join(fish, "etc"));
  await Bun.write(ground.path("files/only.tar"), "");
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

/** What each line is completed to, by the words behind its last one. */
const LINES: Record<string, string[]> = {
  "stop a": ["alive"],
  "start a": ["asleep"],
  "rm a": ["asleep"],
  "logs a": ["alive", "asleep"],
  "exec al": ["alive"],
  "container inspect as": ["asleep"],
  "run busy": ["busybox", "busybox:latest"],
  "run --network wi": ["wires"],
  "network connect wires al": ["alive"],
  "volume rm j": ["jars"],
  "context use f": ["far"],
  "run --restart o": ["on-failure"],
  "run --pull m": ["missing"],
  "kill -s SIGKI": ["SIGKILL"],
  "run --log-driver json": ["json-file"],
  "context cr": ["create"],
  "--context f": ["far"],
  "load --inpu": ["--input"],
  "load -i on": ["only.tar"],
  "stop alive al": [],
};

async function bash(program: string, line: string, scripts: string[]): Promise<string[]> {
  const words = [program, ...line.split(" ")];
  const program_ = `for file; do . "$file"; done
    COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}) COMP_CWORD=${words.length - 1} COMP_LINE='${words.join(" ")}' COMP_POINT=${words.join(" ").length}
    complete -p ${program} >/dev/null || exit 9
    "$(complete -p ${program} | sed 's/.*-F \\([^ ]*\\).*/\\1/')" ${program} '${words.at(-1)}' '${words.at(-2)}' 2>/dev/null
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const out = await must(["bash", "--norc", "-c", program_, "bash", ...scripts], { env, cwd: ground.path("files"), timeout: 30_000 });
  return [...new Set(out.split("\n").map((word) => word.trim()))].filter((word) => word !== "").sort();
}

for (const [line, wanted] of Object.entries(LINES)) {
  test(`bash: lighter ${line}`, async () => {
    expect(await bash("lighter", line, [ground.path("script.bash")])).toEqual(wanted);
  });
}

test("fish: every line, with what is said of the words", async () => {
  const lines = Object.keys(LINES).map((line) => `echo '== ${line}'; complete -C 'lighter ${line}'`);
  const script = `source ${ground.path("script.fish")}; ${lines.join("; ")}`;
  const out = await must([ground.path("fish/bin/fish"), "-c", script], { env, cwd: ground.path("files"), timeout: 60_000 });
  const found = Object.fromEntries(
    out
      .split(/^== /m)
      .slice(1)
      .map((part) => {
        const [line = "", ...words] = part.trimEnd().split("\n");
        return [line, words.map((word) => word.split("\t")[0] ?? "").sort()];
      }),
  );
  expect(found).toEqual(LINES);
  expect(out).toMatch(/^on-failure\twhen it fails$/m);
});

test("zsh: completes at the Tab key, and lists", async () => {
  const modules = [...new Bun.Glob("usr/lib/*/zsh/*/zsh/zle.so").scanSync({ cwd: folders.zsh, absolute: true })][0] ?? "";
  await Bun.write(
    ground.path("zdot/.zshrc"),
    `module_path=(${join(modules, "../..")})
fpath=(${join(folders.zshData, "usr/share/zsh/functions")} ${join(folders.zshData, "usr/share/zsh/functions")}/**/*(/N))
autoload -Uz compinit && compinit -u -D
. ${ground.path("script.zsh")}
PS1='> '
`,
  );
  const settings = Object.entries({ ...env, ZDOTDIR: ground.path("zdot") }).map(([name, value]) => `${name}='${value}'`);
  await using terminal = await Terminal.open(`cd ${ground.path("files")}; env ${settings.join(" ")} ${join(folders.zsh, "bin/zsh")} -d -i`);
  await terminal.shows(/^>/m);
  await terminal.type("lighter stop al\t");
  await terminal.shows(/lighter stop alive/);
  await terminal.type("\x15lighter context us\t");
  await terminal.shows(/lighter context use/);
  await terminal.type("\x15lighter run --restart \t");
  await terminal.shows(/on-failure.*when it fails/);
  await terminal.type("\x15lighter load -i on\t");
  await terminal.shows(/load -i only\.tar/);
});

test("manual pages: mandoc finds no fault, and shows what a page is about", async () => {
  const folder = ground.path("man");
  await must([process.execPath, join(import.meta.dir, "../tools/man.ts"), folder]);
  const pages = [...new Bun.Glob("*.1").scanSync({ cwd: folder, absolute: true })].sort();
  expect(pages.length).toBeGreaterThan(80);
  const { code, stdout } = await run([await mandoc(), "-Tlint", "-Wwarning", ...pages]);
  expect(`${code} ${stdout}`).toBe("0 ");
  expect(await must([await mandoc(), "-Thtml", join(folder, "lighter-run.1")])).toContain("lighter-run - make a container");
});

const OF_DOCKER: Record<string, string[]> = {
  "stop a": ["alive"],
  "exec al": ["alive"],
  "rm as": ["asleep"],
  "volume rm j": ["jars"],
  "network rm wi": ["wires"],
  "context use f": ["far"],
};

for (const suite of ["bookworm", "trixie"] as const) {
  test(`Debian's own script for docker in bash works with us called docker, ${suite}`, async () => {
    const script = join(await dockerClient(suite), "../../share/bash-completion/completions/docker");
    const scripts = [join(folders.bash, "usr/share/bash-completion/bash_completion"), script];
    for (const [line, wanted] of Object.entries(OF_DOCKER))
      expect(`${line}: ${await bash("docker", line, scripts)}`).toBe(`${line}: ${wanted}`);
    expect(await bash("docker", "run busybox:", scripts)).toEqual(["latest"]);
  });
}
