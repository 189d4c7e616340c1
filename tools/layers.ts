/**
 * Who may import whom. A folder of `src/` may import itself and the folders of lower layers, never a sibling of its own layer.
 * `bun tools/layers.ts` prints what breaks the rule and exits 1; `--write` draws the import graph into ARCHITECTURE.md.
 */
import { join } from "node:path";
import { replaceSection } from "./section.ts";

const src = join(import.meta.dir, "../src");

/** From the lowest layer to the highest; the names are folders of `src/`. */
export const LAYERS: readonly (readonly string[])[] = [
  ["base"],
  ["wire", "oci"],
  ["linux", "state", "transport"],
  ["content", "distribution", "runtime"],
  ["images", "containers", "networks", "volumes", "build", "registry", "move"],
  ["engine"],
  ["api", "buildkit", "cri", "dashboard"],
  ["client"],
  ["cli", "compose"],
];

/** Packages and builtins that one folder alone may use, so that what is dangerous or replaceable stays in one place. */
const RESERVED: Readonly<Record<string, string>> = { "bun:ffi": "linux", "bun:sqlite": "state", hono: "api" };

/**
 * The front talks to the daemon through `client/` only: it may not reach past the words they share. `distribution/` is no part of the daemon: registries
 * may be asked without one (docs/decisions/0020).
 */
const FRONT_ONLY = new Set(["base", "wire", "oci", "linux", "transport", "client", "distribution"]);

export interface Import {
  from: string;
  to: string;
  file: string;
  line: number;
}

/** Every import between folders of `src/`, and of the reserved packages. */
export async function imports(): Promise<Import[]> {
  const found: Import[] = [];
  for await (const file of new Bun.Glob("**/*.ts").scan(src)) {
    const from = file.includes("/") ? (file.split("/")[0] ?? "") : "(root)";
    const lines = (await Bun.file(join(src, file)).text()).split("\n");
    lines.forEach((text, index) => {
      for (const [, target = ""] of text.matchAll(/(?:from|import|import\()\s*"([^"]+)"/g)) {
        if (target in RESERVED) found.push({ from, to: target, file, line: index + 1 });
        if (!target.startsWith(".")) continue;
        const path = join(file, "..", target);
        if (path.startsWith("../")) found.push({ from, to: "(outside)", file, line: index + 1 });
        else found.push({ from, to: path.includes("/") ? (path.split("/")[0] ?? "") : "(root)", file, line: index + 1 });
      }
    });
  }
  return found;
}

/** The imports that break the table, each as a sentence; empty when the tree stands. */
export function violations(all: Import[]): string[] {
  const layerOf = (folder: string): number => LAYERS.findIndex((layer) => layer.includes(folder));
  return all.flatMap(({ from, to, file, line }) => {
    const where = `src/${file}:${line}`;
    const owner = RESERVED[to];
    if (owner !== undefined) return from === owner || file.endsWith(".test.ts") ? [] : [`${where}: "${to}" belongs to ${owner}/ alone`];
    if (from === to || from === "(root)") return [];
    if (to === "(outside)") return [`${where}: what is outside of src/ is not part of the program; let tools/build.ts define it`];
    if (to === "(root)") return [`${where}: nothing imports main.ts or daemon.ts`];
    if (layerOf(from) < 0 || layerOf(to) < 0) return [`${where}: ${layerOf(from) < 0 ? from : to}/ is not in the table of tools/layers.ts`];
    if (layerOf(to) >= layerOf(from)) return [`${where}: ${from}/ (layer ${layerOf(from)}) must not import ${to}/ (layer ${layerOf(to)})`];
    if (layerOf(from) >= 7 && !FRONT_ONLY.has(to)) return [`${where}: ${from}/ reaches the daemon through client/ only, not ${to}/`];
    return [];
  });
}

/** A Mermaid graph of the folders: an arrow for every pair that imports, `base` left out as everyone imports it. */
export function graph(all: Import[]): string {
  const pairs = new Set(
    all
      .filter((i) => i.from !== i.to && i.to !== "base" && !(i.to in RESERVED) && i.from !== "(root)" && !i.file.endsWith(".test.ts"))
      .map((i) => `  ${i.from} --> ${i.to}`),
  );
  const groups = LAYERS.slice(1)
    .map(
      (layer, index) => `  subgraph L${index}[" "]\n    ${layer.filter((name) => all.some((i) => i.from === name)).join("\n    ")}\n  end`,
    )
    .toReversed();
  return ["graph TD", ...groups, ...[...pairs].sort()].join("\n");
}

if (import.meta.main) {
  const all = await imports();
  if (process.argv.includes("--write")) await replaceSection("ARCHITECTURE.md", "graph", "```mermaid\n" + graph(all) + "\n```");
  else {
    const broken = violations(all);
    const drawn = await Bun.file(join(src, "../ARCHITECTURE.md")).text();
    if (!drawn.includes(graph(all))) broken.push("ARCHITECTURE.md: its graph is not the tree's; `bun tools/layers.ts --write` draws it");
    for (const sentence of broken) console.error(sentence);
    process.exit(broken.length === 0 ? 0 : 1);
  }
}
