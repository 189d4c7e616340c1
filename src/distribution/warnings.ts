/** Told of each warning that a registry sends; the same one comes with many answers. */
export type Warned = (text: string) => void;

/** What an answer may carry of warnings at most, in characters: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#warnings */
const MOST = 4096;

/** The code for whatever is meant for people, and the agent that is not named (RFC 7234 section 5.5); then a quoted text. */
const WARNING = /(?:^|,)\s*299\s+-\s+"((?:[^"\\]|\\.)*)"/g;

/** The texts of the `Warning` headers of an answer. Whatever is not as the specification has it, is none. */
export function warningsOf(headers: Headers): string[] {
  const header = (headers.get("warning") ?? "").slice(0, MOST);
  const texts = [...header.matchAll(WARNING)].map(([, text = ""]) => plain(text.replace(/\\(.)/g, "$1")));
  return texts.filter((text) => text !== "");
}

/** Without what would move a terminal's cursor or colour its text. */
function plain(text: string): string {
  return text.replace(/\p{C}+/gu, " ").trim();
}

/** What registries warned of while something was under way: each of it is told once, where it does not get between lines that move. */
export class Heard {
  readonly #all = new Set<string>();
  #untold: string[] = [];

  /** Takes a warning. */
  readonly hear = (line: string): void => {
    if (this.#all.has(line)) return;
    this.#all.add(line);
    this.#untold.push(line);
  };

  /** Tells what has not been told yet. */
  tell(sink: (event: { status: string }) => void): void {
    for (const line of this.#untold.splice(0)) sink({ status: `WARNING: ${line}` });
  }
}
