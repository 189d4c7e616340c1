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
