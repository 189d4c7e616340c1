/** A value as Go's `%v` shows it: `[a b]`, `map[k:v]`, `<nil>`. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return "<nil>";
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return `[${value.map(show).join(" ")}]`;
  if (typeof value === "object") {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `map[${entries.map(([key, item]) => `${key}:${show(item)}`).join(" ")}]`;
  }
  return String(value as number | boolean | bigint);
}

/** Go's `fmt.Sprintf` for the verbs that templates use: `%s %v %d %q %t %x %X %f %e %g %c %%` with flags, width and precision. */
export function sprintf(format: string, args: readonly unknown[]): string {
  let next = 0;
  const text = format.replace(
    /%([-+# 0]*)(\d+|\*)?(?:\.(\d+|\*)?)?([a-zA-Z%])/g,
    (whole, flags: string, width: string | undefined, precision: string | undefined, verb: string) => {
      if (verb === "%") return "%";
      const wide = width === "*" ? Number(args[next++]) : Number(width ?? 0);
      const digits =
        precision === "*" ? Number(args[next++]) : precision === undefined ? (whole.includes(".") ? 0 : undefined) : Number(precision);
      if (next >= args.length) return `%!${verb}(MISSING)`;
      const shown = verbText(verb, args[next++], digits, flags);
      const zero = flags.includes("0") && !flags.includes("-") && "dxXfeg".includes(verb);
      return flags.includes("-") ? shown.padEnd(wide) : shown.padStart(wide, zero ? "0" : " ");
    },
  );
  const extra = args.slice(next);
  return extra.length === 0 ? text : `${text}%!(EXTRA ${extra.map((value) => `${goType(value)}=${show(value)}`).join(", ")})`;
}

function verbText(verb: string, value: unknown, digits: number | undefined, flags: string): string {
  switch (verb) {
    case "v":
      return show(value);
    case "s":
      if (typeof value === "number" || typeof value === "boolean") return `%!s(${goType(value)}=${show(value)})`;
      return digits === undefined ? show(value) : Array.from(show(value)).slice(0, digits).join("");
    case "q":
      return JSON.stringify(show(value));
    case "d":
      return typeof value === "number" ? `${flags.includes("+") && value >= 0 ? "+" : ""}${value}` : `%!d(${goType(value)}=${show(value)})`;
    case "t":
      return typeof value === "boolean" ? String(value) : `%!t(${goType(value)}=${show(value)})`;
    case "x":
    case "X": {
      const hex = typeof value === "number" ? value.toString(16) : Buffer.from(show(value)).toString("hex");
      return verb === "X" ? hex.toUpperCase() : hex;
    }
    case "f":
      return typeof value === "number" ? value.toFixed(digits ?? 6) : `%!f(${goType(value)}=${show(value)})`;
    case "e":
      return typeof value === "number"
        ? value.toExponential(digits ?? 6).replace(/e([+-])(\d)$/, "e$10$2")
        : `%!e(${goType(value)}=${show(value)})`;
    case "g":
      return show(value);
    case "c":
      return typeof value === "number" ? String.fromCodePoint(value) : `%!c(${goType(value)}=${show(value)})`;
    default:
      return `%!${verb}(${goType(value)}=${show(value)})`;
  }
}

/** The name of a value's Go type, as far as JSON tells. */
export function goType(value: unknown): string {
  if (value === null || value === undefined) return "<nil>";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float64";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "string") return "string";
  return Array.isArray(value) ? "[]interface {}" : "map[string]interface {}";
}

/** What ES2026 adds to `JSON`, which the types do not know yet. https://tc39.es/proposal-json-parse-with-source/ */
interface RawJson {
  rawJSON(text: string): unknown;
}

/** Whole numbers that do not fit a JavaScript number keep all their digits. */
function exactly(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? (JSON as unknown as RawJson).rawJSON(String(value)) : value;
}

/** JSON as Go's encoder writes it: no spaces, and `<`, `>`, `&` escaped where `html` is asked for. */
export function goJson(value: unknown, html = true): string {
  const text = JSON.stringify(value, exactly) ?? "null";
  return html ? text.replace(/[<>&\u2028\u2029]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`) : text;
}
