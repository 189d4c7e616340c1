import { LighterError, messageOf } from "../base/errors.ts";
import { parseBytes, parseDuration } from "../base/units.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { addressOf } from "./log-address.ts";
import { logLimits } from "./log-limits.ts";
import { checkTag } from "./log-tag.ts";

type Options = Readonly<Record<string, string>>;

/** What every driver that tells of its container takes. */
const ATTRIBUTES = ["labels", "labels-regex", "env", "env-regex", "tag"];
/** Of the copy on disk that `logs` reads where the driver sends them away: here it is the spool. */
const CACHE = ["cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];

/** A log driver: its options by name, and what they must be. https://docs.docker.com/engine/logging/configure/ */
interface Driver {
  options: readonly string[];
  /** The words around an unknown option. */
  unknown?: (key: string) => string;
  check?: (options: Options) => void;
}

const DRIVERS: Readonly<Record<string, Driver>> = {
  none: { options: [] },
  "json-file": { options: ["max-file", "max-size", "compress", ...ATTRIBUTES] },
  local: { options: ["max-file", "max-size", "compress"], unknown: (key) => `unknown log opt '${key}' for log driver local` },
  syslog: {
    options: [
      "syslog-address",
      "syslog-facility",
      "syslog-format",
      "syslog-tls-ca-cert",
      "syslog-tls-cert",
      "syslog-tls-key",
      "syslog-tls-skip-verify",
      ...ATTRIBUTES,
    ],
    check: checkSyslog,
  },
  journald: { options: ATTRIBUTES },
  fluentd: {
    options: [
      "fluentd-address",
      "fluentd-async",
      "fluentd-async-connect",
      "fluentd-async-reconnect-interval",
      "fluentd-buffer-limit",
      "fluentd-max-retries",
      "fluentd-read-timeout",
      "fluentd-request-ack",
      "fluentd-retry-wait",
      "fluentd-sub-second-precision",
      "fluentd-write-timeout",
      ...ATTRIBUTES,
    ],
    check: checkFluentd,
  },
  gelf: {
    options: [
      "gelf-address",
      "gelf-compression-level",
      "gelf-compression-type",
      "gelf-tcp-max-reconnect",
      "gelf-tcp-reconnect-delay",
      ...ATTRIBUTES,
    ],
    unknown: (key) => `unknown log opt ${JSON.stringify(key)} for gelf log driver`,
    check: checkGelf,
  },
};

/** What `info` lists, in its order. */
export const LOG_DRIVERS: readonly string[] = Object.keys(DRIVERS)
  .filter((name) => name !== "none")
  .toSorted();

/** Drivers that send the log away; the file is their spool. */
export const SHIPPING_DRIVERS: ReadonlySet<string> = new Set(["syslog", "journald", "fluentd", "gelf"]);

/** Whether `logs` may read it: a spool whose cache the user switched off is not for reading. */
export function isReadable(logging: HostConfig["LogConfig"]): boolean {
  if (logging?.Type === "none") return false;
  return !SHIPPING_DRIVERS.has(logging?.Type ?? "") || !isTrue(logging?.Config?.["cache-disabled"]);
}

/** Checks a log driver and its options, with Docker's texts; throws `invalid`. Docker tells some of them at the start of the container only. */
export function validateLogging(logging: HostConfig["LogConfig"]): void {
  const name: string = logging?.Type ?? "";
  const driver = DRIVERS[name];
  if (driver === undefined) throw invalid(`error looking up logging plugin ${name}: plugin "${name}" not found`);
  if (name === "none") return;
  const options = logging?.Config ?? {};
  checkMode(options);
  // Docker asks gelf's address first.
  if (name === "gelf" && options["gelf-address"] === undefined) throw invalid("gelf-address is a required parameter");
  for (const key of Object.keys(options)) {
    if (key === "mode" || key === "max-buffer-size" || CACHE.includes(key) || driver.options.includes(key)) continue;
    throw invalid((driver.unknown ?? ((unknown) => `unknown log opt '${unknown}' for ${name} log driver`))(key));
  }
  driver.check?.(options);
  try {
    logLimits(logging);
    for (const key of ["env-regex", "labels-regex"]) patternOf(options[key]);
    checkTag(options["tag"]);
  } catch (error) {
    throw invalid(`failed to initialize logging driver: ${messageOf(error)}`);
  }
}

function checkMode({ mode = "", "max-buffer-size": size }: Options): void {
  if (!["", "blocking", "non-blocking"].includes(mode)) throw invalid(`logger: logging mode not supported: ${mode}`);
  if (size === undefined) return;
  if (mode !== "non-blocking") throw invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  try {
    parseBytes(size);
  } catch (error) {
    throw invalid(`error parsing option max-buffer-size: ${messageOf(error)}`);
  }
}

/** Facilities of RFC 5424 by the names that Docker takes. */
export const SYSLOG_FACILITIES = [
  "kern",
  "user",
  "mail",
  "daemon",
  "auth",
  "syslog",
  "lpr",
  "news",
  "uucp",
  "cron",
  "authpriv",
  "ftp",
  "",
  "",
  "",
  "",
  "local0",
  "local1",
  "local2",
  "local3",
  "local4",
  "local5",
  "local6",
  "local7",
];

/** The number of a syslog facility, given by name or number; `daemon` where none is given. Throws `invalid`. */
export function facilityOf(text = "daemon"): number {
  const named = text === "" ? SYSLOG_FACILITIES.indexOf("daemon") : SYSLOG_FACILITIES.indexOf(text);
  const number = named >= 0 ? named : /^\+?\d{1,3}$/.test(text) ? Number(text) : -1;
  if (number < 0 || number > 23) throw invalid("invalid syslog facility");
  return number;
}

function checkSyslog(options: Options): void {
  addressOf("syslog", options["syslog-address"]);
  facilityOf(options["syslog-facility"]);
  if (!["", "rfc3164", "rfc5424", "rfc5424micro"].includes(options["syslog-format"] ?? "")) throw invalid("Invalid syslog format");
}

function checkFluentd(options: Options): void {
  addressOf("fluentd", options["fluentd-address"]);
  if (options["fluentd-buffer-limit"] !== undefined) parseBytes(options["fluentd-buffer-limit"]);
  if (options["fluentd-retry-wait"] !== undefined) durationOf(options["fluentd-retry-wait"]);
  uintOf(options["fluentd-max-retries"]);
  if (options["fluentd-async"] !== undefined && options["fluentd-async-connect"] !== undefined)
    throw invalid("conflicting options: cannot specify both 'fluentd-async' and 'fluentd-async-connect");
  for (const key of ["fluentd-async", "fluentd-async-connect", "fluentd-sub-second-precision", "fluentd-request-ack"]) boolOf(options[key]);
  const interval = options["fluentd-async-reconnect-interval"];
  if (interval !== undefined) {
    const nanoseconds = durationOf(interval);
    if (nanoseconds !== 0 && (nanoseconds < 100e6 || nanoseconds > 10e9))
      throw invalid("invalid fluentd-async-reconnect-interval: must be between 100ms and 10s");
  }
  for (const key of ["fluentd-write-timeout", "fluentd-read-timeout"]) {
    const timeout = options[key];
    if (timeout !== undefined && durationOf(timeout) < 0) throw invalid(`invalid ${key}: value must be a positive duration`);
  }
}

function checkGelf(options: Options): void {
  const { protocol } = addressOf("gelf", options["gelf-address"]);
  const { "gelf-compression-type": type, "gelf-compression-level": level } = options;
  const unknown = (key: string, value: string): LighterError =>
    invalid(`unknown value ${JSON.stringify(value)} for log opt "${key}" for gelf log driver`);
  for (const key of ["gelf-compression-level", "gelf-compression-type"])
    if (protocol === "tcp" && options[key] !== undefined) throw invalid("compression is only supported on UDP");
  for (const key of ["gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"]) {
    if (options[key] === undefined) continue;
    if (protocol === "udp") throw invalid(`"${key}" is only valid for TCP`);
    if (!/^\+?\d{1,15}$/.test(options[key])) throw invalid(`"${key}" must be a positive integer`);
  }
  if (type !== undefined && !["gzip", "zlib", "none"].includes(type)) throw unknown("gelf-compression-type", type);
  if (level !== undefined && !/^(-1|[0-9])$/.test(level)) throw unknown("gelf-compression-level", level);
}

/** Go's boolean words; undefined and the empty text are false. Throws `invalid` with Go's sentence. */
export function boolOf(text: string | undefined): boolean {
  if (text === undefined || text === "") return false;
  if (isTrue(text)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false;
  throw invalid(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

function isTrue(text: string | undefined): boolean {
  return /^(1|t|T|true|TRUE|True)$/.test(text ?? "");
}

function uintOf(text: string | undefined): void {
  if (text !== undefined && text !== "" && !/^\d{1,15}$/.test(text))
    throw invalid(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** Nanoseconds of Go's duration; its sentences for what is none. */
export function durationOf(text: string): number {
  if (/^[+-]?\d+$/.test(text) && Number(text) !== 0) throw invalid(`time: missing unit in duration ${JSON.stringify(text)}`);
  try {
    return parseDuration(text);
  } catch {
    throw invalid(`time: invalid duration ${JSON.stringify(text)}`);
  }
}

/** A regular expression of a log option; undefined for none. Throws `invalid`. */
export function patternOf(text: string | undefined): RegExp | undefined {
  if (text === undefined || text === "") return undefined;
  try {
    return new RegExp(text);
  } catch {
    throw invalid(`error parsing regexp: ${whyNoPattern(text)}: \`${text}\``);
  }
}

function whyNoPattern(text: string): string {
  const plain = text.replaceAll(/\\./g, "");
  const opened = plain.split("(").length - plain.split(")").length;
  if (/\[[^\]]*$/.test(plain)) return "missing closing ]";
  return opened > 0 ? "missing closing )" : opened < 0 ? "unexpected )" : "invalid expression";
}

function invalid(text: string): LighterError {
  return new LighterError("invalid", text);
}
