import type { Figure } from "./measure.ts";

/** One row of a benchmark: what was done, and how long each contestant took; the first one is the peer. */
export interface Row {
  what: string;
  figures: Figure[];
}

/** A Markdown table: medians in milliseconds, and how many times sooner than the peer. */
export function table(rows: readonly Row[]): string {
  const names = rows[0]?.figures.map((figure) => figure.name) ?? [];
  const header = [`| what | ${names.join(" | ")} |`, `|---|${names.map(() => "---:").join("|")}|`];
  const lines = rows.map(({ what, figures }) => {
    const peer = figures[0]?.median ?? NaN;
    const cells = figures.map(({ median }, index) =>
      index === 0 ? `${round(median)} ms` : `${round(median)} ms (**${(peer / median).toFixed(1)}x**)`,
    );
    return `| ${what} | ${cells.join(" | ")} |`;
  });
  return [...header, ...lines].join("\n");
}

const COLOURS = ["#9aa5b1", "#5b8def", "#1f9d6b", "#c77d1a"];
const BAR = 16;
const GAP = 14;
const LEFT = 250;
const WIDTH = 820;

/** Bars of the medians, a group a row, each row scaled to its slowest contestant: what the README shows. */
export function plot(rows: readonly Row[], title: string): string {
  let y = 56;
  const parts: string[] = [];
  for (const { what, figures } of rows) {
    const slowest = Math.max(...figures.map((figure) => figure.median));
    parts.push(text(LEFT - 12, y + (figures.length * BAR) / 2 + 4, what, "end"));
    for (const [index, figure] of figures.entries()) {
      const width = Math.max(2, (figure.median / slowest) * (WIDTH - LEFT - 110));
      parts.push(`<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 3}" rx="2" fill="${COLOURS[index]}"/>`);
      parts.push(text(LEFT + width + 6, y + BAR - 6, `${round(figure.median)} ms`, "start"));
      y += BAR;
    }
    y += GAP;
  }
  const legend = (rows[0]?.figures ?? []).map(
    (figure, index) =>
      `<rect x="${LEFT + index * 185}" y="32" width="11" height="11" rx="2" fill="${COLOURS[index]}"/>${text(LEFT + index * 185 + 17, 42, figure.name, "start")}`,
  );
  const style = `font-family="ui-sans-serif, system-ui, sans-serif" font-size="12" fill="#57606a"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" ${style}>
<text x="${LEFT}" y="18" font-size="14" font-weight="600">${escape(title)}</text>
${legend.join("\n")}
${parts.join("\n")}
</svg>
`;
}

function text(x: number, y: number, content: string, anchor: "start" | "end"): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function round(milliseconds: number): string {
  return milliseconds < 10 ? milliseconds.toFixed(1) : milliseconds.toFixed(0);
}
