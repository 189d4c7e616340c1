import { LighterError, messageOf } from "../base/errors.ts";
import type { Flags, Values } from "./flags.ts";

/** What a command line says: flag values (defaults included), which flags were given, and the words that are left. */
export interface Parsed<F extends Flags> {
  flags: Values<F>;
  given: ReadonlySet<string>;
  args: string[];
}

export interface ParseOptions {
  /** Everything from the first word that is no flag on is an argument: `run IMAGE ls -l`. */
  stopAtWord?: boolean;
}

/**
 * Parses a command line as docker's (Go's pflag) does: `--name value`, `--name=value`, `-abc`, `-p80:80`, `-p=80`, `--`.
 * Throws `invalid` with the texts of pflag.
 */
export function parseFlags<F extends Flags>(spec: F, words: readonly string[], options: ParseOptions = {}): Parsed<F> {
  const names = new Map<string, string>();
  const shorts = new Map<string, string>();
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(spec)) {
    values[name] = flag.initial;
    names.set(name, name);
    for (const alias of flag.aliases ?? []) names.set(alias, name);
    if (flag.short !== undefined) shorts.set(flag.short, name);
  }
  const given = new Set<string>();
  const args: string[] = [];

  const set = (name: string, text: string): void => {
    const flag = spec[name];
    if (!flag) return;
    try {
      values[name] = flag.take(text, values[name]);
    } catch (error) {
      const shown = flag.short === undefined ? `--${name}` : `-${flag.short}, --${name}`;
      throw new LighterError("invalid", `invalid argument ${JSON.stringify(text)} for "${shown}" flag: ${messageOf(error)}`, {
        cause: error,
      });
    }
    given.add(name);
  };

  let at = 0;
  const takeLong = (word: string): void => {
    const equals = word.indexOf("=");
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
    if (name === "" || name.startsWith("-")) throw new LighterError("invalid", `bad flag syntax: ${word}`);
    const found = names.get(name);
    const flag = found === undefined ? undefined : spec[found];
    if (found === undefined || !flag) throw new LighterError("invalid", `unknown flag: --${name}`);
    if (equals >= 0) set(found, word.slice(equals + 1));
    else if (flag.bare !== undefined) set(found, flag.bare);
    else {
      const value = words[at++];
      if (value === undefined) throw new LighterError("invalid", `flag needs an argument: --${name}`);
      set(found, value);
    }
  };
  const takeShorts = (word: string): void => {
    for (let index = 1; index < word.length; index++) {
      const letter = word[index] ?? "";
      const name = shorts.get(letter);
      const flag = name === undefined ? undefined : spec[name];
      if (name === undefined || !flag) throw new LighterError("invalid", `unknown shorthand flag: '${letter}' in -${word.slice(index)}`);
      const rest = word.slice(index + 1);
      if (rest.length > 1 && rest.startsWith("=")) return set(name, rest.slice(1));
      if (flag.bare !== undefined) set(name, flag.bare);
      else if (rest !== "") return set(name, rest);
      else {
        const value = words[at++];
        if (value === undefined) throw new LighterError("invalid", `flag needs an argument: '${letter}' in -${word.slice(index)}`);
        return set(name, value);
      }
    }
  };

  while (at < words.length) {
    const word = words[at++] ?? "";
    if (word === "--") {
      args.push(...words.slice(at));
      break;
    }
    if (word.startsWith("--")) takeLong(word);
    else if (word.startsWith("-") && word.length > 1) takeShorts(word);
    else if (options.stopAtWord) {
      args.push(word, ...words.slice(at));
      break;
    } else args.push(word);
  }
  return { flags: values as Values<F>, given, args };
}
