import { LighterError, messageOf } from "../base/errors.ts";

/** One column of a listing: its heading and how a row shows it. */
export interface Column<Row> {
  /** Heading in tables; undefined for what templates alone show. */
  heading: string;
  of: (row: Row) => unknown;
  /** Not part of the JSON. */
  tableOnly?: boolean;
  /** How the JSON shows it, where that differs. */
  json?: (row: Row) => unknown;
}

/** What `--format` may name, by the names that templates use. Values that are functions are methods: `{{.Label "a"}}`. */
export type Columns<Row> = Record<string, Column<Row>>;

export interface Listing<Row> {
  columns: Columns<Row>;
  /** The columns of the table without `--format`. */
  shown: readonly string[];
  /** The column that `--quiet` prints. */
  quiet: string;
  /** The name of the rows' type in docker's texts. */
  type: string;
}

const MIN_WIDTH = 10;
const GAP = 3;

/** A listing as text: a table, identifiers alone, JSON lines or a template's output. */
export async function renderListing<Row>(listing: Listing<Row>, rows: readonly Row[], format: string, quiet: boolean): Promise<string> {
  const { columns } = listing;
  if (quiet && (format === "" || format === "table")) return rows.map((row) => `${text(columns[listing.quiet]?.of(row))}\n`).join("");
  if (format === "" || format === "table") {
    const head = listing.shown.map((name) => columns[name]?.heading ?? "");
    return table([head, ...rows.map((row) => listing.shown.map((name) => text(columns[name]?.of(row))))]);
  }
  if (format === "json" || format === "{{json .}}") return rows.map((row) => `${rowJson(columns, row)}\n`).join("");
  return templated(listing, rows, format);
}

async function templated<Row>(listing: Listing<Row>, rows: readonly Row[], format: string): Promise<string> {
  const { compileTemplate } = await import("./template.ts");
  const { goJson } = await import("./template-print.ts");
  const { columns } = listing;
  const asTable = format.startsWith("table");
  const source = (asTable ? format.slice("table".length) : format).trim().replaceAll("\\t", "\t").replaceAll("\\n", "\n");
  let template;
  try {
    template = compileTemplate(source, { missing: (field) => `can't evaluate field ${field} in type *formatter.${listing.type}` });
  } catch (error) {
    throw new LighterError("invalid", `failed to parse template: ${messageOf(error)}`, { cause: error });
  }
  const fill = (data: unknown): string => {
    try {
      return template(data);
    } catch (error) {
      throw new LighterError("invalid", `failed to execute template: ${messageOf(error)}`, { cause: error });
    }
  };
  const data = (row: Row): Record<string, unknown> => {
    const values: Record<string, unknown> = {};
    for (const [name, column] of Object.entries(columns)) values[name] = column.of(row);
    Object.defineProperty(values, "toJSON", { value: () => JSON.parse(rowJson(columns, row)) as unknown, enumerable: false });
    return values;
  };
  const lines = rows.map((row) => fill(data(row)));
  if (!asTable) return lines.map((line) => `${line}\n`).join("");
  const head: Record<string, unknown> = {};
  for (const [name, { heading, of }] of Object.entries(columns)) {
    // A method's heading is its argument, the way docker shows `{{.Label "a"}}`.
    head[name] = isMethod(of, rows) ? (label: unknown) => headingOfLabel(String(label)) : heading;
  }
  void goJson;
  return table([fill(head), ...lines].flatMap((line) => line.split("\n")).map((line) => line.split("\t")));
}

function isMethod<Row>(of: (row: Row) => unknown, rows: readonly Row[]): boolean {
  const [first] = rows;
  return first !== undefined && typeof of(first) === "function";
}

function headingOfLabel(label: string): string {
  return (label.split(".").at(-1) ?? label).replace(/[-_]/g, " ");
}

/** A row's columns as JSON, by name in order of the alphabet; methods are left out. */
export function rowJson<Row>(columns: Columns<Row>, row: Row): string {
  const values: Record<string, unknown> = {};
  for (const name of Object.keys(columns).sort()) {
    const value = (columns[name]?.json ?? columns[name]?.of)?.(row);
    if (typeof value !== "function" && !columns[name]?.tableOnly) values[name] = value;
  }
  return JSON.stringify(values).replace(/[<>&]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Cells in aligned columns, three spaces apart, none narrower than ten: Go's tabwriter as docker sets it. */
export function table(rows: readonly (readonly string[])[], minWidth = MIN_WIDTH): string {
  // Plain ASCII is by far the most common, and counts without taking strings apart.
  const width = rows.every((row) => isAscii(row.join(""))) ? (cell: string) => cell.length : (cell: string) => Array.from(cell).length;
  const widths: number[] = [];
  for (const row of rows) {
    for (let at = 0; at < row.length - 1; at++) widths[at] = Math.max(widths[at] ?? minWidth, width(row[at] ?? "") + GAP);
  }
  let lines = "";
  for (const row of rows) {
    for (let at = 0; at < row.length - 1; at++) lines += (row[at] ?? "") + " ".repeat((widths[at] ?? 0) - width(row[at] ?? ""));
    lines += `${row.at(-1) ?? ""}\n`;
  }
  return lines;
}

function isAscii(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return /^[\x00-\x7f]*$/.test(text);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : String(value as number);
}
