import { LighterError } from "../base/errors.ts";

/** The fields of one line of comma-separated values, with `"a,b"` quoting (RFC 4180). Throws `invalid` for an open quote. */
export function csvFields(line: string): string[] {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (line[at] === '"') {
      const end = closingQuote(line, at + 1);
      fields.push(line.slice(at + 1, end).replaceAll('""', '"'));
      at = end + 1;
      if (at < line.length && line[at] !== ",")
        throw new LighterError("invalid", `parse error on line 1, column ${at + 1}: extraneous or missing " in quoted-field`);
    } else {
      const comma = line.indexOf(",", at);
      const end = comma < 0 ? line.length : comma;
      const field = line.slice(at, end);
      if (field.includes('"'))
        throw new LighterError("invalid", `parse error on line 1, column ${at + field.indexOf('"') + 1}: bare " in non-quoted-field`);
      fields.push(field);
      at = end;
    }
    if (at >= line.length) return fields;
    at++;
  }
}

function closingQuote(line: string, from: number): number {
  for (let at = from; at < line.length; at++) {
    if (line[at] !== '"') continue;
    if (line[at + 1] !== '"') return at;
    at++;
  }
  throw new LighterError("invalid", `parse error on line 1, column ${line.length + 1}: extraneous or missing " in quoted-field`);
}
