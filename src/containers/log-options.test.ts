import { describe, expect, test } from "bun:test";
import { messageOf } from "../base/errors.ts";
import type { Desired } from "./desired.ts";
import { logAttributes, logDetails } from "./log-attributes.ts";
import { logLimits } from "./log-limits.ts";
import { isReadable, validateLogging } from "./log-options.ts";
import { tagOf } from "./log-tag.ts";

/** What Docker says to a driver with options; "" when it takes them. */
function said(Type: string, Config: Record<string, string>): string {
  try {
    validateLogging({ Type: Type as "none", Config });
    return "";
  } catch (error) {
    return messageOf(error);
  }
}

const FAILED = "failed to initialize logging driver: ";
const UDP = { "gelf-address": "udp://127.0.0.1:1" };
const TCP = { "gelf-address": "tcp://127.0.0.1:1" };

/** As dockerd 20.10 answered, some of it at the container's start. */
const TEXTS: [string, Record<string, string>, string][] = [
  ["papyrus", {}, 'error looking up logging plugin papyrus: plugin "papyrus" not found'],
  ["none", { a: "b" }, ""],
  ["json-file", { a: "b" }, "unknown log opt 'a' for json-file log driver"],
  ["json-file", { "max-size": "-2" }, `${FAILED}invalid size: '-2'`],
  ["json-file", { "max-size": "0" }, `${FAILED}max-size must be a positive number`],
  ["json-file", { "max-size": "-1" }, ""],
  ["json-file", { "max-file": "x" }, `${FAILED}strconv.Atoi: parsing "x": invalid syntax`],
  ["json-file", { "max-file": "0" }, `${FAILED}max-file cannot be less than 1`],
  ["json-file", { compress: "x" }, `${FAILED}strconv.ParseBool: parsing "x": invalid syntax`],
  [
    "json-file",
    { compress: "true", "max-size": "1m" },
    `${FAILED}compress cannot be true when max-file is less than 2 or max-size is not set`,
  ],
  ["json-file", { compress: "true", "max-size": "1m", "max-file": "2" }, ""],
  ["json-file", { "env-regex": "(" }, `${FAILED}error parsing regexp: missing closing ): \`(\``],
  [
    "json-file",
    { tag: "{{.X}}" },
    `${FAILED}template: log-tag:1:2: executing "log-tag" at <.X>: can't evaluate field X in type *logger.Info`,
  ],
  ["json-file", { tag: "{{" }, `${FAILED}template: log-tag:1: unclosed action`],
  ["json-file", { tag: "{{.Name}}/{{ .ID }}" }, ""],
  ["json-file", { mode: "x" }, "logger: logging mode not supported: x"],
  ["json-file", { mode: "non-blocking", "max-buffer-size": "4m" }, ""],
  ["json-file", { mode: "non-blocking", "max-buffer-size": "x" }, "error parsing option max-buffer-size: invalid size: 'x'"],
  ["json-file", { "max-buffer-size": "1m" }, "logger: max-buffer-size option is only supported with 'mode=non-blocking'"],
  ["json-file", { "cache-disabled": "true" }, ""],
  ["local", { a: "b" }, "unknown log opt 'a' for log driver local"],
  ["local", { tag: "a" }, "unknown log opt 'tag' for log driver local"],
  ["local", { "max-size": "-1" }, `${FAILED}invalid value for max-size: -1: invalid size: '-1'`],
  ["local", { "max-file": "x" }, `${FAILED}invalid value for max-file: x: strconv.Atoi: parsing "x": invalid syntax`],
  ["local", { "max-file": "1" }, `${FAILED}compression cannot be enabled when max file count is 1`],
  ["local", { "max-file": "1", compress: "false" }, ""],
  ["local", { compress: "x" }, `${FAILED}error reading compress log option: strconv.ParseBool: parsing "x": invalid syntax`],
  ["syslog", { a: "b" }, "unknown log opt 'a' for syslog log driver"],
  ["syslog", { "syslog-address": "x" }, "syslog-address should be in form proto://address, got x"],
  ["syslog", { "syslog-address": "http://127.0.0.1:1" }, "syslog-address should be in form proto://address, got http://127.0.0.1:1"],
  ["syslog", { "syslog-address": "unixgram:///nonexistent" }, "stat /nonexistent: no such file or directory"],
  ["syslog", { "syslog-address": "tcp://127.0.0.1" }, ""],
  ["syslog", { "syslog-facility": "x" }, "invalid syslog facility"],
  ["syslog", { "syslog-facility": "99" }, "invalid syslog facility"],
  ["syslog", { "syslog-facility": "local7", "syslog-format": "rfc5424micro" }, ""],
  ["syslog", { "syslog-format": "x" }, "Invalid syslog format"],
  ["journald", { "max-size": "1m" }, "unknown log opt 'max-size' for journald log driver"],
  ["journald", { tag: "x" }, ""],
  ["fluentd", { a: "b" }, "unknown log opt 'a' for fluentd log driver"],
  ["fluentd", { "fluentd-address": "x" }, ""],
  ["fluentd", { "fluentd-address": "x:y" }, 'invalid fluentd-address x:y: strconv.Atoi: parsing "y": invalid syntax'],
  ["fluentd", { "fluentd-address": "http://a:1" }, "invalid fluentd-address http://a:1: address http://a:1: too many colons in address"],
  ["fluentd", { "fluentd-async": "x" }, 'strconv.ParseBool: parsing "x": invalid syntax'],
  [
    "fluentd",
    { "fluentd-async": "true", "fluentd-async-connect": "true" },
    "conflicting options: cannot specify both 'fluentd-async' and 'fluentd-async-connect",
  ],
  ["fluentd", { "fluentd-buffer-limit": "x" }, "invalid size: 'x'"],
  ["fluentd", { "fluentd-retry-wait": "x" }, 'time: invalid duration "x"'],
  ["fluentd", { "fluentd-retry-wait": "5" }, 'time: missing unit in duration "5"'],
  ["fluentd", { "fluentd-max-retries": "-1" }, 'strconv.ParseUint: parsing "-1": invalid syntax'],
  ["gelf", {}, "gelf-address is a required parameter"],
  ["gelf", { a: "b" }, "gelf-address is a required parameter"],
  ["gelf", { ...UDP, a: "b" }, 'unknown log opt "a" for gelf log driver'],
  ["gelf", { "gelf-address": "x" }, "gelf-address should be in form proto://address, got x"],
  ["gelf", { "gelf-address": "udp://a" }, "gelf: please provide gelf-address as proto://host:port"],
  ["gelf", { "gelf-address": "udp://127.0.0.1/x" }, "gelf: please provide gelf-address as proto://host:port"],
  ["gelf", { ...UDP, "gelf-compression-type": "x" }, 'unknown value "x" for log opt "gelf-compression-type" for gelf log driver'],
  ["gelf", { ...UDP, "gelf-compression-level": "10" }, 'unknown value "10" for log opt "gelf-compression-level" for gelf log driver'],
  ["gelf", { ...TCP, "gelf-compression-type": "gzip" }, "compression is only supported on UDP"],
  ["gelf", { ...TCP, "gelf-tcp-max-reconnect": "-1" }, '"gelf-tcp-max-reconnect" must be a positive integer'],
  ["gelf", { ...UDP, "gelf-tcp-reconnect-delay": "1" }, '"gelf-tcp-reconnect-delay" is only valid for TCP'],
];

describe("log drivers and their options", () => {
  test("get Docker's words", () => {
    for (const [driver, options, text] of TEXTS) expect([driver, options, said(driver, options)]).toEqual([driver, options, text]);
  });

  test("only a spool whose cache is off cannot be read", () => {
    expect(isReadable({ Type: "none", Config: {} })).toBe(false);
    expect(isReadable({ Type: "syslog", Config: {} })).toBe(true);
    expect(isReadable({ Type: "syslog", Config: { "cache-disabled": "true" } })).toBe(false);
    expect(isReadable({ Type: "json-file", Config: { "cache-disabled": "true" } })).toBe(true);
    expect(logLimits({ Type: "gelf", Config: { "cache-max-size": "1m", "cache-max-file": "2" } })).toEqual({
      maxSize: 1e6,
      maxFiles: 2,
      compress: true,
    });
  });
});

describe("what a log tells of its container", () => {
  const row = {
    id: "0123456789abcdef".repeat(4),
    name: "web",
    image: `sha256:${"f".repeat(64)}` as const,
    desired: {
      config: { Image: "busybox", Cmd: ["sleep", "1"], Labels: { a: "1", bc: "x y,z", other: "" }, Env: ["E=v=1 2", "PATH=/bin"] },
      hostConfig: { LogConfig: { Type: "json-file", Config: { labels: "a,bc,none", "env-regex": "^E", tag: "{{.Name}}" } } },
    } as unknown as Desired,
  };

  test("labels and variables by name or pattern, the tag last of all", () => {
    expect(logAttributes(row)).toEqual({ a: "1", bc: "x y,z", E: "v=1 2" });
    // As dockerd shows it.
    expect(logDetails(row)).toBe("E=v%3D1+2,a=1,bc=x+y%2Cz,tag=web");
  });

  test("a tag's words are filled in", () => {
    const withTag = (tag: string): string =>
      tagOf({ ...row, desired: { ...row.desired, hostConfig: { LogConfig: { Type: "syslog", Config: { tag } } } } }, {});
    expect(withTag("")).toBe("0123456789ab");
    expect(withTag("{{.ImageName}}/{{ .Name }}/{{.ImageID}} {{.Command}} {{.DaemonName}}")).toBe("busybox/web/ffffffffffff sleep 1 docker");
  });
});
