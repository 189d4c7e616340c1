import { existsSync } from "node:fs";
import { LighterError } from "../base/errors.ts";

/** Where a driver sends logs to. */
export interface LogAddress {
  protocol: "udp" | "tcp" | "tls" | "unix" | "unixgram";
  host: string;
  port: number;
  /** Of a unix socket. */
  path: string;
}

const SYSLOG_PORT = 514;
const FLUENTD_PORT = 24_224;

/**
 * Reads the address option of a driver; throws `invalid` with Docker's texts. An empty syslog address is the machine's own (`path` is empty);
 * an empty one of fluentd is its port on this machine.
 */
export function addressOf(driver: "syslog" | "fluentd" | "gelf", text = ""): LogAddress {
  if (driver === "fluentd") return fluentdAddress(text);
  if (driver === "syslog" && text === "") return { protocol: "unixgram", host: "", port: 0, path: "" };
  const [, scheme = "", rest = ""] = /^([a-z0-9+.-]+):\/\/(.*)$/i.exec(text) ?? [];
  const known = driver === "gelf" ? ["udp", "tcp"] : ["udp", "tcp", "tcp+tls", "unix", "unixgram"];
  if (!known.includes(scheme)) throw invalid(`${driver}-address should be in form proto://address, got ${text}`);
  if (scheme === "unix" || scheme === "unixgram") {
    if (!existsSync(rest)) throw invalid(`stat ${rest}: no such file or directory`);
    return { protocol: scheme, host: "", port: 0, path: rest };
  }
  const { host, port } = splitHostPort(rest.replace(/\/.*$/, ""));
  const protocol = scheme === "tcp+tls" ? "tls" : (scheme as "udp" | "tcp");
  if (driver === "syslog") return { protocol, host, port: port === "" ? SYSLOG_PORT : portOf(port, text), path: "" };
  if (port !== "" && !/^\d+$/.test(port)) throw invalid(noPort(text, port));
  if (host === "" || !/^\d+$/.test(port)) throw invalid("gelf: please provide gelf-address as proto://host:port");
  return { protocol, host, port: Number(port), path: "" };
}

function fluentdAddress(text: string): LogAddress {
  const [, scheme = "tcp", rest = ""] = /^(?:(unix|tcp|tls):\/\/)?(.*)$/.exec(text) ?? [];
  if (scheme === "unix") return { protocol: "unix", host: "", port: 0, path: rest };
  const address = scheme === "tcp" || scheme === "tls" ? rest.replace(/\/.*$/, rest.includes("://") ? "$&" : "") : rest;
  const at = address.lastIndexOf(":");
  const bracketed = address.startsWith("[");
  if (!bracketed && at !== address.indexOf(":"))
    throw invalid(`invalid fluentd-address ${text}: address ${address}: too many colons in address`);
  const { host, port } = splitHostPort(address);
  if (port !== "" && !/^\d+$/.test(port))
    throw invalid(
      `invalid fluentd-address ${text}: ${/^(unix|tcp|tls):/.test(text) ? noPort(text, port) : `strconv.Atoi: parsing ${JSON.stringify(port)}: invalid syntax`}`,
    );
  if (host === "" && text !== "" && port !== "") return fluentdAt(scheme, "127.0.0.1", Number(port));
  return fluentdAt(scheme, host === "" ? "127.0.0.1" : host, port === "" ? FLUENTD_PORT : Number(port));
}

function fluentdAt(scheme: string, host: string, port: number): LogAddress {
  return { protocol: scheme === "tls" ? "tls" : "tcp", host, port, path: "" };
}

function splitHostPort(text: string): { host: string; port: string } {
  const [, bracketed, plain = "", port = ""] = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/.exec(text) ?? [];
  return { host: bracketed ?? plain, port };
}

function portOf(text: string, address: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) throw invalid(noPort(address, text));
  return Number(text);
}

/** Go's sentence for an address whose port is no number. */
function noPort(address: string, port: string): string {
  return `parse ${JSON.stringify(address)}: invalid port ${JSON.stringify(`:${port.split(":").at(-1)}`)} after host`;
}

function invalid(text: string): LighterError {
  return new LighterError("invalid", text);
}
