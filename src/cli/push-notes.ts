import { isTerminal } from "./is-terminal.ts";

/** Shown before a push of one platform. */
export const ONE_PLATFORM = [
  "With --platform only that platform of the image is pushed,",
  "without the others and without attestations. To push all of it, leave the flag out.",
];

/** What the answers of a push that are no progress mean to people: that a part of an image went in place of all of it. */
export function noteOf(aux: unknown): string[] | undefined {
  const note = aux as {
    manifestPushedInsteadOfIndex?: unknown;
    originalIndex?: { digest?: string };
    selectedManifest?: { digest?: string };
  };
  if (note.manifestPushedInsteadOfIndex !== true) return undefined;
  const [from, to] = [note.originalIndex?.digest ?? "", note.selectedManifest?.digest ?? ""];
  const [red, green, plain] = isTerminal(1) ? ["\u001b[31m", "\u001b[32m", "\u001b[0m"] : ["", "", ""];
  return [
    "Not all multiplatform-content is present and only the available single-platform image was pushed",
    `${red}${from}${plain} -> ${green}${to}${plain}`,
  ];
}

/** A note as docker sets it: apart, its lines below each other. */
export function noteText(lines: readonly string[]): string {
  return `\n Info -> ${lines.join("\n         ")}\n`;
}
