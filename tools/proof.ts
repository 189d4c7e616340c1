import { join } from "node:path";

/** Where figures come from: said in every page of proof. */
export interface Origin {
  commit: string;
  seed: number;
  command: string;
}

/** Which pages are written, and what becomes of figures that are in them and that this run has not taken. */
export interface ProofOptions {
  /** These areas alone. */
  only?: readonly string[];
  /** A run of some suites: figures of the others stay, under the run that they are of. */
  keep?: boolean;
}

/**
 * Writes `<folder>/<area>.md` for each area in the file of figures (JSON lines of area, what, value). Later figures of a name replace earlier ones.
 */
export async function writeProof(
  folder: string,
  figures: string,
  origin: Origin,
  { only, keep = false }: ProofOptions = {},
): Promise<void> {
  const text = await Bun.file(figures)
    .text()
    .catch(() => "");
  const areas = new Map<string, Map<string, string>>();
  for (const line of text.split("\n").filter((one) => one !== "")) {
    const { area, what, value } = JSON.parse(line) as { area: string; what: string; value: string };
    if (only !== undefined && !only.includes(area)) continue;
    areas.set(area, (areas.get(area) ?? new Map<string, string>()).set(what, value));
  }
  for (const [area, rows] of areas) {
    const path = join(folder, `${area}.md`);
    const said = `${new Date().toISOString().slice(0, 10)}, commit ${origin.commit}, \`${origin.command}\`, seed ${origin.seed}.`;
    const before = keep
      ? blocksOf(
          await Bun.file(path)
            .text()
            .catch(() => ""),
        )
      : [];
    for (const block of before) for (const what of rows.keys()) block.rows.delete(what);
    const blocks = [{ origin: said, rows }, ...before.filter((block) => block.rows.size > 0)];
    await Bun.write(path, [`# Proof: ${area}\n`, ...blocks.flatMap(linesOf)].join("\n"));
  }
}

/** The figures of one run. */
interface Block {
  origin: string;
  rows: Map<string, string>;
}

function linesOf({ origin, rows }: Block): string[] {
  return [`${origin}\n`, "| what | figure |", "|---|---|", ...[...rows].map(([what, value]) => `| ${what} | ${value} |`), ""];
}

/** A page as {@link linesOf} wrote it. */
function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  for (const line of page.split("\n")) {
    const [, what, value] = /^\| (.+) \| (.+) \|$/.exec(line) ?? [];
    if (what !== undefined && value !== undefined) {
      if (what !== "what") blocks.at(-1)?.rows.set(what, value);
    } else if (line !== "" && !/^[#|]/.test(line)) blocks.push({ origin: line, rows: new Map() });
  }
  return blocks;
}
