import { posix } from "node:path";
import { LighterError } from "../base/errors.ts";
import type { PlannedMount } from "./desired.ts";

const PROPAGATIONS = new Set(["private", "rprivate", "shared", "rshared", "slave", "rslave"]);
const CONSISTENCIES = new Set(["consistent", "cached", "delegated", "default"]);
const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** A value of `-v` with two or three parts (`/src:/dst:ro`, `name:/dst`), taken apart. Throws `invalid` with Docker's texts. */
export function parseBind(spec: string): PlannedMount {
  const parts = spec.split(":");
  const [source = "", target = "", mode = ""] = parts;
  if (parts.length < 2 || parts.length > 3 || source === "" || target === "") throw specError(spec);
  if (parts.length === 2 && !target.startsWith("/") && parseMode(target) !== undefined) throw specError(spec);
  const type = source.startsWith("/") ? "bind" : "volume";
  const options = parseMode(mode);
  if (options === undefined) throw new LighterError("invalid", `invalid mode: ${mode}`);
  try {
    refuseMisplaced(type, options);
    const destination = checkTarget(type, target);
    if (type === "volume") checkVolumeName(source);
    return {
      type,
      source: type === "bind" ? cleanPath(source) : source,
      destination,
      rw: options.rw,
      mode: mode === "" ? (type === "volume" ? "z" : "") : mode,
      propagation: type === "bind" ? options.propagation || "rprivate" : "",
      fromBind: true,
      ...(options.noCopy ? { noCopy: true } : {}),
      ...(type === "bind" ? { createSource: true } : {}),
    };
  } catch (error) {
    if (error instanceof LighterError && error.message.startsWith("invalid mount config"))
      throw new LighterError("invalid", `invalid volume specification: '${spec}': ${error.message}`, { cause: error });
    throw error;
  }
}

/** A destination alone, of `-v /dst` and of an image's `VOLUME`: cleaned. Throws `invalid` with Docker's texts. */
export function parseVolumeTarget(spec: string): string {
  if (spec === "" || spec.includes(":")) throw specError(spec);
  try {
    return checkTarget("volume", spec);
  } catch (error) {
    throw new LighterError("invalid", `invalid volume specification: '${spec}': ${(error as Error).message}`, { cause: error });
  }
}

/** An absolute path without `.`, `..` and doubled or closing slashes. */
export function cleanPath(path: string): string {
  const clean = path.isWellFormed() ? posix.normalize(path) : withoutDots(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

/** An absolute path without `.`, `..` and empty parts. Bun's own way rewrites what is no UTF-8. */
function withoutDots(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** Checks and cleans the place of a mount in the container. */
export function checkTarget(type: string, target: string): string {
  const fail = (why: string): LighterError => new LighterError("invalid", `invalid mount config for type "${type}": ${why}`);
  if (target === "") throw fail("field Target must not be empty");
  if (!target.startsWith("/")) throw fail(`invalid mount path: '${target}' mount path must be absolute`);
  const clean = cleanPath(target);
  if (clean === "/") throw fail("invalid specification: destination can't be '/'");
  return clean;
}

/** Checks a volume's name with Docker's text. */
export function checkVolumeName(name: string): void {
  if (name.length === 1)
    throw new LighterError("invalid", `create ${name}: volume name is too short, names should be at least two alphanumeric characters`);
  if (VOLUME_NAME.test(name)) return;
  throw new LighterError(
    "invalid",
    `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
  );
}

interface Mode {
  rw: boolean;
  propagation: string;
  noCopy: boolean;
}

/** Options of the other kind of mount, with Docker's text. */
function refuseMisplaced(type: string, { propagation, noCopy }: Mode): void {
  const field = type === "bind" ? noCopy && "VolumeOptions" : propagation !== "" && "BindOptions";
  if (field !== false) throw new LighterError("invalid", `invalid mount config for type "${type}": field ${field} must not be specified`);
}

/** The third part of `-v`; undefined when it is not one. Each kind of option may stand once. */
function parseMode(text: string): Mode | undefined {
  const mode: Mode = { rw: true, propagation: "", noCopy: false };
  if (text === "") return mode;
  const seen = new Set<string>();
  for (const word of text.split(",")) {
    const kind = kindOfWord(word);
    if (kind === undefined || seen.has(kind)) return undefined;
    seen.add(kind);
    if (word === "ro") mode.rw = false;
    if (kind === "propagation") mode.propagation = word;
    if (kind === "copy") mode.noCopy = true;
  }
  return mode;
}

function kindOfWord(word: string): string | undefined {
  if (word === "ro" || word === "rw") return "access";
  if (word === "z" || word === "Z") return "label";
  if (word === "nocopy") return "copy";
  if (PROPAGATIONS.has(word)) return "propagation";
  return CONSISTENCIES.has(word) ? "consistency" : undefined;
}

function specError(spec: string): LighterError {
  return new LighterError("invalid", `invalid volume specification: '${spec}'`);
}
