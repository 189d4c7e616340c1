import { LighterError } from "../base/errors.ts";
import { signalNumber } from "../base/signals.ts";
import { parseDuration } from "../base/units.ts";
import type { RunConfig } from "../oci/image.ts";
import { oneWord, splitWords } from "./words.ts";

type Apply = (config: RunConfig, rest: string) => void;

/** The instructions that `--change` takes, as Docker lists them. */
const INSTRUCTIONS: Readonly<Record<string, Apply>> = {
  CMD: (config, rest) => void (config.Cmd = commandOf(config, rest)),
  ENTRYPOINT: (config, rest) => void (config.Entrypoint = commandOf(config, rest)),
  ENV: (config, rest) => {
    for (const [key, value] of pairsOf("ENV", rest, config)) config.Env = withVariable(config.Env ?? [], key, value);
  },
  EXPOSE: (config, rest) => {
    for (const port of some("EXPOSE", rest, config)) Object.assign((config.ExposedPorts ??= {}), exposed(port));
  },
  LABEL: (config, rest) => void (config.Labels = { ...config.Labels, ...Object.fromEntries(pairsOf("LABEL", rest, config)) }),
  USER: (config, rest) => void (config.User = one("USER", rest, config)),
  VOLUME: (config, rest) => {
    for (const path of some("VOLUME", rest, config)) config.Volumes = { ...config.Volumes, [path]: {} };
  },
  WORKDIR: (config, rest) => {
    const path = one("WORKDIR", rest, config);
    config.WorkingDir = path.startsWith("/") ? path : `${(config.WorkingDir || "/").replace(/\/$/, "")}/${path}`;
  },
  ONBUILD: (config, rest) => void (config.OnBuild = [...(config.OnBuild ?? []), triggerOf(rest)]),
  STOPSIGNAL: (config, rest) => {
    const signal = one("STOPSIGNAL", rest, config);
    signalNumber(signal);
    config.StopSignal = signal;
  },
  HEALTHCHECK: (config, rest) => void (config.Healthcheck = healthcheckOf(nonEmpty("HEALTHCHECK", rest))),
};

/**
 * Applies Dockerfile instructions, one each, to a copy of a configuration. An entrypoint given alone drops the command that stood before.
 * Throws `invalid` for those that cannot be applied to an image.
 */
export function applyChanges(config: RunConfig, changes: readonly string[]): RunConfig {
  const changed: RunConfig = structuredClone(config);
  const words = new Set<string>();
  for (const line of changes.flatMap((text) => text.split("\n"))) {
    const [, word = "", rest = ""] = /^\s*(\S+)\s*([\s\S]*?)\s*$/.exec(line) ?? [];
    if (word === "" || word.startsWith("#")) continue;
    const name = word.toUpperCase();
    const apply = INSTRUCTIONS[name];
    if (apply === undefined) throw new LighterError("invalid", `${word.toLowerCase()} is not a valid change command`);
    apply(changed, rest);
    words.add(name);
  }
  if (words.has("ENTRYPOINT") && !words.has("CMD")) delete changed.Cmd;
  if (words.size === 0 && changes.length > 0) throw new LighterError("invalid", "file with no instructions");
  return changed;
}

/** Exec form as it is; shell form through the image's shell. */
function commandOf(config: RunConfig, rest: string): string[] {
  return jsonList(rest) ?? [...(config.Shell ?? ["/bin/sh", "-c"]), rest].filter((word) => word !== "");
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

/** `key=value ...`, or the old form `key value with blanks`. */
function pairsOf(name: string, text: string, { Env }: RunConfig): [string, string][] {
  const environment = Env ?? [];
  const first = /^[^\s="']+(?=\s)/.exec(nonEmpty(name, text))?.[0];
  if (first !== undefined) return [[first, oneWord(text.slice(first.length).trim(), environment)]];
  const words = splitWords(text, environment);
  if (words.length === 1 && !text.includes("=")) throw new LighterError("invalid", `${name} must have two arguments`);
  return words.map((word) => {
    const equals = word.indexOf("=");
    if (equals <= 0) throw new LighterError("invalid", `Syntax error - can't find = in "${word}". Must be of the form: name=value`);
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}

/** A variable that is there keeps its place. */
function withVariable(environment: readonly string[], key: string, value: string): string[] {
  const at = environment.findIndex((entry) => entry.startsWith(`${key}=`));
  return at < 0 ? [...environment, `${key}=${value}`] : environment.with(at, `${key}=${value}`);
}

function triggerOf(text: string): string {
  const [word = ""] = nonEmpty("ONBUILD", text).split(/\s/);
  const name = word.toUpperCase();
  if (name === "ONBUILD") throw new LighterError("invalid", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (name === "FROM" || name === "MAINTAINER") throw new LighterError("invalid", `${name} isn't allowed as an ONBUILD trigger`);
  return text;
}

function exposed(port: string): Record<string, object> {
  const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/i.exec(port);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (match === null || from < 1 || to > 65535 || to < from) throw new LighterError("invalid", `Invalid containerPort: ${port}`);
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

function one(name: string, text: string, { Env }: RunConfig): string {
  if (text === "") throw new LighterError("invalid", `${name} requires exactly one argument`);
  return oneWord(text, Env ?? []);
}

/** At least one word, or a list in JSON. */
function some(name: string, text: string, { Env }: RunConfig): string[] {
  const words = jsonList(text) ?? splitWords(text, Env ?? []);
  if (words.length === 0) throw new LighterError("invalid", `${name} requires at least one argument`);
  return words;
}
