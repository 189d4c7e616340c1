import { LighterError } from "../base/errors.ts";

/**
 * Go's `path.Match`: `*` and `?` stop at slashes, `[a-z]` and `[^a-z]` are classes, `\` quotes.
 * A pattern that does not parse matches nothing. https://pkg.go.dev/path#Match
 */
export function matchPath(pattern: string, text: string): boolean {
  let source = "";
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern.charAt(at);
    if (char === "*") source += "[^/]*";
    else if (char === "?") source += "[^/]";
    else if (char === "[") {
      const end = pattern.indexOf("]", at + 2);
      if (end < 0) return false;
      source += pattern.slice(at, end + 1).replaceAll("\\", "\\\\");
      at = end;
    } else source += (char === "\\" ? pattern.charAt(++at) : char).replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
  }
  try {
    return new RegExp(`^${source}$`, "u").test(text);
  } catch {
    return false;
  }
}

/** Throws `invalid`, in Go's words, for a pattern that does not parse. */
export function checkPattern(pattern: string): void {
  const bare = pattern.replace(/\\./gs, "").replace(/\[\^?[^\]]+\]/g, "");
  if (/[[\\]/.test(bare)) throw new LighterError("invalid", "syntax error in pattern");
}
