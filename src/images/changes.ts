import { LighterError } from "../base/errors.ts";
import { parseDuration } from "../base/units.ts";
import type { RunConfig } from "../oci/image.ts";

type Apply = (config: RunConfig, rest: string) => void;

/** The instructions that `--change` takes, as Docker lists them. */
const INSTRUCTIONS: Readonly<Record<string, Apply>> = {
  CMD: (config, rest) => void (config.Cmd = commandOf(config, rest)),
  ENTRYPOINT: (config, rest) => void (config.Entrypoint = commandOf(config, rest)),
  ENV: (config, rest) => {
    for (const [key, value] of pairsOf("ENV", rest)) {
      const others = (config.Env ?? []).filter((each) => !each.startsWith(`${key}=`));
      config.Env = [...others, `${key}=${value}`];
    }
  },
  EXPOSE: (config, rest) => {
    for (const port of wordsOf(rest)) Object.assign((config.ExposedPorts ??= {}), exposed(port));
  },
  LABEL: (config, rest) => void (config.Labels = { ...config.Labels, ...Object.fromEntries(pairsOf("LABEL", rest)) }),
  USER: (config, rest) => void (config.User = one("USER", rest)),
  VOLUME: (config, rest) => {
    for (const path of jsonList(rest) ?? wordsOf(rest)) config.Volumes = { ...config.Volumes, [path]: {} };
  },
  WORKDIR: (config, rest) => {
    const path = one("WORKDIR", rest);
    config.WorkingDir = path.startsWith("/") ? path : `${(config.WorkingDir || "/").replace(/\/$/, "")}/${path}`;
  },
  ONBUILD: (config, rest) => void (config.OnBuild = [...(config.OnBuild ?? []), nonEmpty("ONBUILD", rest)]),
  STOPSIGNAL: (config, rest) => void (config.StopSignal = one("STOPSIGNAL", rest)),
  SHELL: (config, rest) => {
    const shell = jsonList(rest);
    if (shell === undefined) throw new LighterError("invalid", "SHELL requires the arguments to be in JSON form");
    config.Shell = shell;
  },
  HEALTHCHECK: (config, rest) => void (config.Healthcheck = healthcheckOf(rest)),
};

/** Applies Dockerfile instructions, one each, to a copy of a configuration. Throws `invalid` for those that cannot be applied to an image. */
export function applyChanges(config: RunConfig, changes: readonly string[]): RunConfig {
  const changed: RunConfig = structuredClone(config);
  for (const line of changes) {
    const [, word = "", rest = ""] = /^\s*(\S+)\s*([\s\S]*?)\s*$/.exec(line) ?? [];
    if (word === "") continue;
    const apply = INSTRUCTIONS[word.toUpperCase()];
    if (apply === undefined) throw new LighterError("invalid", `${word.toUpperCase()} is not a valid change command`);
    apply(changed, rest);
  }
  return changed;
}

/** Exec form as it is; shell form through the image's shell. */
function commandOf(config: RunConfig, rest: string): string[] {
  return jsonList(rest) ?? [...(config.Shell ?? ["/bin/sh", "-c"]), rest];
}

function jsonList(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const list = JSON.parse(text) as unknown;
    return Array.isArray(list) && list.every((each) => typeof each === "string") ? list : undefined;
  } catch {
    return undefined;
  }
}

/** Words with quotes and backslashes taken away, as ENV and LABEL read them. */
function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const [word] of text.matchAll(/(?:"(?:\\[\s\S]|[^"\\])*"|'[^']*'|\\[\s\S]|[^\s"'\\])+/g)) {
    words.push(
      word.replace(/"((?:\\[\s\S]|[^"\\])*)"|'([^']*)'|\\([\s\S])/g, (_, double?: string, single?: string, escaped?: string) =>
        double === undefined ? (single ?? escaped ?? "") : double.replace(/\\(["\\$])/g, "$1"),
      ),
    );
  }
  return words;
}

/** `key=value ...`, or the old form `key value with blanks`. */
function pairsOf(name: string, text: string): [string, string][] {
  const first = /^[^\s="']+(?=\s)/.exec(text)?.[0];
  if (first !== undefined) return [[first, text.slice(first.length).trim()]];
  const words = wordsOf(nonEmpty(name, text));
  return words.map((word) => {
    const equals = word.indexOf("=");
    if (equals <= 0) throw new LighterError("invalid", `Syntax error - can't find = in "${word}". Must be of the form: name=value`);
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}

function exposed(port: string): Record<string, object> {
  const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/i.exec(port);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (match === null || from < 1 || to > 65535 || to < from) throw new LighterError("invalid", `invalid containerPort: ${port}`);
  const protocol = (match[3] ?? "tcp").toLowerCase();
  return Object.fromEntries(Array.from({ length: to - from + 1 }, (_, index) => [`${from + index}/${protocol}`, {}]));
}

function healthcheckOf(text: string): NonNullable<RunConfig["Healthcheck"]> {
  const health: NonNullable<RunConfig["Healthcheck"]> = {};
  let rest = text;
  for (let option = FLAG.exec(rest); option !== null; option = FLAG.exec(rest)) {
    const [all, name = "", value = ""] = option;
    if (name === "retries") health.Retries = Number(value);
    else health[TIMES[name] ?? unknownFlag(name)] = parseDuration(value);
    rest = rest.slice(all.length);
  }
  const [, kind = "", command = ""] = /^(\S+)\s*([\s\S]*)$/.exec(rest) ?? [];
  if (kind.toUpperCase() === "NONE") return { Test: ["NONE"] };
  if (kind.toUpperCase() !== "CMD" || command === "")
    throw new LighterError("invalid", `Unknown type "${kind.toUpperCase()}" in HEALTHCHECK (try CMD)`);
  const list = jsonList(command);
  return { ...health, Test: list === undefined ? ["CMD-SHELL", command] : ["CMD", ...list] };
}

const FLAG = /^--([a-z-]+)=(\S+)\s+/;
const TIMES: Readonly<Record<string, "Interval" | "Timeout" | "StartPeriod" | "StartInterval">> = {
  interval: "Interval",
  timeout: "Timeout",
  "start-period": "StartPeriod",
  "start-interval": "StartInterval",
};

function unknownFlag(name: string): never {
  throw new LighterError("invalid", `unknown flag: --${name}`);
}

function nonEmpty(name: string, text: string): string {
  if (text === "") throw new LighterError("invalid", `${name} requires at least one argument`);
  return text;
}

function one(name: string, text: string): string {
  const words = wordsOf(text);
  if (words.length !== 1 && name !== "WORKDIR") throw new LighterError("invalid", `${name} requires exactly one argument`);
  return name === "WORKDIR" ? nonEmpty(name, text) : (words[0] ?? "");
}
