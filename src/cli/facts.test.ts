import { expect, test } from "bun:test";
import { join } from "node:path";
import { GLOBAL_FLAGS } from "./cli.ts";
import type { Flags } from "./flags.ts";
import { commandHelp } from "./help.ts";
import { OWED } from "./owed.ts";
import { GROUPS, resolve, TABLE } from "./table.ts";

interface Fact {
  usage: string;
  aliases: string[];
  flags: { name: string; short?: string; type: string; default?: string }[];
  commands?: string[];
}

const FACTS = (await Bun.file(join(import.meta.dir, "../../reference/docker-cli-29.json")).json()) as Record<string, Fact>;

/** docker shows these with daemons on Windows, or to managers of a swarm, alone. */
const HIDDEN = new Set(["cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops", "cluster"]);

function owed(path: string): boolean {
  const group = path.split(" ")[0] ?? "";
  return path in OWED || `${group} *` in OWED;
}

async function flagsOf(path: string): Promise<{ flags: Flags; usage: string } | undefined> {
  if (path === "docker") return { flags: GLOBAL_FLAGS, usage: "[OPTIONS] COMMAND" };
  const entry = resolve(path);
  const command = entry === undefined ? undefined : await TABLE[entry]?.load();
  return command && { flags: command.flags, usage: command.usage };
}

for (const [path, fact] of Object.entries(FACTS)) {
  test(`docker ${path}: every flag is here, or owed by name`, async () => {
    if (owed(path)) {
      expect(resolve(path)).toBeUndefined();
      return;
    }
    if (path in GROUPS) {
      const missing = (fact.commands ?? []).filter((name) => resolve(`${path} ${name}`) === undefined && !owed(`${path} ${name}`));
      expect(missing).toEqual([]);
      return;
    }
    const found = await flagsOf(path);
    expect(found).toBeDefined();
    if (!found) return;
    const ours = Object.entries(found.flags).map(([name, flag]) => `${flag.short ?? ""} ${name}`);
    const theirs = fact.flags
      .filter(({ name }) => name !== "help" && !owed(`${path} --${name}`))
      .map(({ name, short }) => `${short ?? ""} ${name}`);
    expect(theirs.filter((flag) => !ours.includes(flag))).toEqual([]);
  });

  test(`docker ${path}: usage, kinds of values, aliases`, async () => {
    const found = owed(path) || path in GROUPS ? undefined : await flagsOf(path);
    if (!found || path === "docker") return;
    expect(`docker ${path} ${found.usage}`.trim()).toBe(fact.usage);
    for (const { name, type, short, default: initial } of fact.flags) {
      const flag = found.flags[name];
      if (!flag) continue;
      expect(`${name} ${flag.short ?? ""} ${flag.type === "" ? "bool" : flag.type}`).toBe(`${name} ${short ?? ""} ${type}`);
      if (initial !== undefined) expect(`${name} default ${flag.shown}`).toBe(`${name} default ${initial}`);
      expect(`${name} hidden: ${flag.hidden ?? false}`).toBe(`${name} hidden: ${HIDDEN.has(name)}`);
    }
    for (const alias of fact.aliases) expect(resolve(alias.replace(/^docker /, ""))).toBeDefined();
  });
}

test("every flag says in a line what it is for, and takes a letter of its own", async () => {
  for (const path of Object.keys(TABLE)) {
    const flags = (await TABLE[path]?.load())?.flags ?? {};
    for (const [name, { help }] of Object.entries(flags)) expect(`${path} --${name}: ${help}`).toMatch(/: [A-Z0-9'-].*[^. ]$/);
    const letters = Object.values(flags).flatMap(({ short }) => (short === undefined ? [] : [short]));
    expect(`${path} ${letters.join("")}`).toBe(`${path} ${[...new Set(letters)].join("")}`);
  }
});

test("every command's help fits 80 columns, where its words allow, and names each flag", async () => {
  for (const path of Object.keys(TABLE)) {
    const command = await TABLE[path]?.load();
    if (!command) throw new Error(`${path} has no code`);
    const text = commandHelp(`docker ${path}`, path, command);
    for (const [name, { hidden }] of Object.entries(command.flags))
      expect(`${name} ${text.includes(`--${name}`)}`).toBe(`${name} ${!hidden}`);
    expect(TABLE[path]?.help).toMatch(/^[A-Z].*[^.]$/);
  }
});

test("every command of docker's own list is here or owed", () => {
  const names = FACTS["docker"]?.commands ?? [];
  expect(names.filter((name) => resolve(name) === undefined && !(name in GROUPS) && !owed(name))).toEqual([]);
});

test("what is owed is part of docker's command line, and not here", async () => {
  for (const path of Object.keys(OWED)) {
    const [command = "", flag] = path.split(" --");
    if (flag === undefined) {
      const group = command.replace(/ \*$/, "");
      expect(`${group} ${group in FACTS}`).toBe(`${group} true`);
      continue;
    }
    expect(FACTS[command]?.flags.some(({ name }) => name === flag)).toBe(true);
  }
});
