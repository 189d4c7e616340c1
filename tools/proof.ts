import { join } from "node:path";

/** Where figures come from: said in every page of proof. */
export interface Origin {
  commit: string;
  seed: number;
  command: string;
}

/**
 * Writes `<folder>/<area>.md` for each area in the file of figures (JSON lines of area, what, value), or for the named ones alone. Later figures of
 * a name replace earlier ones.
 */
export async function writeProof(folder: string, figures: string, origin: Origin, only?: readonly string[]): Promise<void> {
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
    const page = [
      `# Proof: ${area}\n`,
      `${new Date().toISOString().slice(0, 10)}, commit ${origin.commit}, \`${origin.command}\`, seed ${origin.seed}.\n`,
      "| what | figure |",
      "|---|---|",
      ...[...rows].map(([what, value]) => `| ${what} | ${value} |`),
      "",
    ];
    await Bun.write(join(folder, `${area}.md`), page.join("\n"));
  }
}
