/** The first lines of a request: what is asked, and the headers by lower-case name (repeated ones joined by comma). */
export interface RequestHead {
  method: string;
  /** Path and query as sent; of a whole URL, which clients of proxies may send, these parts. */
  target: string;
  /** 0 or 1 of HTTP/1.x. */
  minor: 0 | 1;
  headers: ReadonlyMap<string, string>;
}

/** How the end of a request's body is found: no body, a number of bytes, or chunks. */
export type Framing = { kind: "none" } | { kind: "length"; length: number } | { kind: "chunked" };

/** More than this many bytes of head are refused (as Go's servers do). */
export const HEAD_LIMIT = 1 << 20;

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP\/1\.([01])$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;

/** Takes a request's head apart (without the empty line at its end). Undefined when it is not HTTP/1.x. https://www.rfc-editor.org/rfc/rfc9112 */
export function parseHead(text: string): RequestHead | undefined {
  const lines = text.split("\r\n");
  const [, method, target, minor] = REQUEST_LINE.exec(lines[0] ?? "") ?? [];
  if (method === undefined || target === undefined) return undefined;
  const headers = new Map<string, string>();
  for (let index = 1; index < lines.length; index++) {
    const [, name, value = ""] = FIELD.exec(lines[index] ?? "") ?? [];
    if (name === undefined) return undefined;
    const key = name.toLowerCase();
    const before = headers.get(key);
    headers.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return { method, target: originForm(target), minor: minor === "0" ? 0 : 1, headers };
}

/** https://www.rfc-editor.org/rfc/rfc9112#name-absolute-form */
function originForm(target: string): string {
  const [whole] = /^https?:\/\/[^/?#]*/i.exec(target) ?? [];
  if (whole === undefined) return target;
  const rest = target.slice(whole.length);
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** How the body is framed; undefined when the headers contradict each other or name an unknown coding. */
export function framingOf(headers: ReadonlyMap<string, string>): Framing | undefined {
  const coding = headers.get("transfer-encoding");
  if (coding !== undefined) return coding.toLowerCase() === "chunked" ? { kind: "chunked" } : undefined;
  const text = headers.get("content-length");
  if (text === undefined) return { kind: "none" };
  const [first = "", ...others] = text.split(",").map((part) => part.trim());
  if (!/^\d{1,15}$/.test(first) || others.some((other) => other !== first)) return undefined;
  return first === "0" ? { kind: "none" } : { kind: "length", length: Number(first) };
}

/** Whether a comma-separated header holds a token, in any case. */
export function hasToken(value: string | undefined, token: string): boolean {
  return (
    value !== undefined &&
    value
      .toLowerCase()
      .split(",")
      .some((part) => part.trim() === token)
  );
}
