import { LighterError } from "../base/errors.ts";
import type { PortBinding } from "../wire/engine-api.ts";
import { csvFields } from "./csv.ts";

/** What `-p` and `--expose` mean for a create request. */
export interface Ports {
  exposed: Record<string, Record<string, never>>;
  bindings: Record<string, PortBinding[]>;
}

interface Range {
  first: number;
  last: number;
}

const PROTOCOLS = ["tcp", "udp", "sctp"];

/**
 * Parses `-p [[ip:]host:]container[/proto]` (each port may be a range), its long form `published=..,target=..`, and `--expose`.
 * Throws `invalid` with docker's texts.
 */
export function parsePorts(publish: readonly string[], expose: readonly string[]): Ports {
  const ports: Ports = { exposed: {}, bindings: {} };
  for (const spec of publish) addPublished(ports, spec.includes("=") ? fromLongForm(spec) : spec);
  for (const spec of expose) addExposed(ports, spec);
  return ports;
}

function addPublished(ports: Ports, spec: string): void {
  const { ip, host, container } = splitParts(spec);
  const [port = "", proto = "tcp"] = container.split("/");
  if (port === "") throw new LighterError("invalid", `no port specified: ${spec}<empty>`);
  const inside = parseRange(port);
  if (!inside) throw new LighterError("invalid", `invalid containerPort: ${port}`);
  const outside = host === "" ? undefined : parseRange(host);
  if (host !== "" && !outside) throw new LighterError("invalid", `invalid hostPort: ${host}`);
  const count = inside.last - inside.first;
  // A single container port may be published on any one of a range of host ports.
  if (outside && outside.last - outside.first !== count && count !== 0) {
    throw new LighterError("invalid", `invalid ranges specified for container and host Ports: ${port} and ${host}`);
  }
  if (!PROTOCOLS.includes(proto.toLowerCase())) throw new LighterError("invalid", `invalid proto: ${proto}`);
  for (let at = 0; at <= count; at++) {
    const key = `${inside.first + at}/${proto.toLowerCase()}`;
    ports.exposed[key] = {};
    (ports.bindings[key] ??= []).push({ HostIp: ip, HostPort: hostPort(outside, count, at) });
  }
}

function hostPort(outside: Range | undefined, count: number, at: number): string {
  if (!outside) return "";
  if (count === 0 && outside.last !== outside.first) return `${outside.first}-${outside.last}`;
  return String(outside.first + at);
}

function splitParts(spec: string): { ip: string; host: string; container: string } {
  const parts = spec.split(":");
  const container = parts.pop() ?? "";
  const host = parts.pop() ?? "";
  const ip = parts.join(":").replace(/^\[(.*)\]$/, "$1");
  if (ip !== "" && !isIp(ip)) throw new LighterError("invalid", `invalid IP address: ${ip}`);
  return { ip, host, container };
}

function addExposed(ports: Ports, spec: string): void {
  if (spec.includes(":")) throw new LighterError("invalid", `invalid port format for --expose: ${spec}`);
  const [port = "", proto = "tcp"] = spec.split("/");
  const range = parseRange(port);
  if (!range) {
    const [first = ""] = port.split("-");
    throw new LighterError(
      "invalid",
      `invalid range format for --expose: ${port}, error: strconv.ParseUint: parsing "${first}": invalid syntax`,
    );
  }
  for (let at = range.first; at <= range.last; at++) ports.exposed[`${at}/${proto.toLowerCase()}`] ??= {};
}

function parseRange(text: string): Range | undefined {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  if (!match) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first > 65535 || last > 65535 || last < first ? undefined : { first, last };
}

function fromLongForm(spec: string): string {
  let published = "";
  let target = "";
  let protocol = "tcp";
  for (const field of csvFields(spec)) {
    const [key, value = ""] = splitOnce(field);
    if (key === "published") published = value;
    else if (key === "target") target = value;
    else if (key === "protocol") protocol = value;
    else if (key !== "mode") throw new LighterError("invalid", `invalid field key ${key}`);
  }
  if (target === "") throw new LighterError("invalid", `missing mandatory field "target"`);
  return `${published === "" ? "" : `${published}:`}${target}/${protocol}`;
}

/** A text at its first `=`; the second part is undefined where there is none. */
export function splitOnce(text: string): [string, string | undefined] {
  const at = text.indexOf("=");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

/** Whether a text is an IPv4 or IPv6 address. */
export function isIp(text: string): boolean {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return text.split(".").every((part) => Number(part) <= 255);
  return text.includes(":") && URL.canParse(`http://[${text}]/`);
}
