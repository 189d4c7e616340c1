import { expect, test } from "bun:test";
import { bool, bytes, duration, filter, int, list, map, string, strings } from "./flags.ts";
import { parseFlags } from "./parse.ts";

const FLAGS = {
  detach: bool("", "d"),
  tty: bool("", "t"),
  interactive: bool("", "i"),
  proxy: bool("", { initial: true }),
  publish: list("", "p"),
  name: string(""),
  memory: bytes("", "m"),
  count: int("", "n"),
  wait: duration(""),
  filter: filter(),
  opt: map("", "o"),
  alias: strings(""),
  network: string("", { aliases: ["net"] }),
};

const parse = (words: string[], stopAtWord = false) => parseFlags(FLAGS, words, { stopAtWord });

test("long flags take their value after = or as the next word", () => {
  expect(parse(["--name=a", "--network", "b"]).flags).toMatchObject({ name: "a", network: "b" });
  expect(parse(["--net=c"]).flags.network).toBe("c");
  expect(parse(["--name=", "x"])).toMatchObject({ flags: { name: "" }, args: ["x"] });
  expect(parse(["--name", "--detach"]).flags).toMatchObject({ name: "--detach", detach: false });
});

test("switches take a value only after =", () => {
  expect(parse(["--detach=false", "--proxy=0", "-t"]).flags).toMatchObject({ detach: false, proxy: false, tty: true });
  expect(parse(["--detach", "false"])).toMatchObject({ flags: { detach: true }, args: ["false"] });
  expect(parse(["-d=false"]).flags.detach).toBe(false);
});

test("short flags join, and the rest of a word is a value", () => {
  expect(parse(["-it"]).flags).toMatchObject({ interactive: true, tty: true });
  expect(parse(["-p80:80", "-p=81", "-dp", "82"]).flags).toMatchObject({ publish: ["80:80", "81", "82"], detach: true });
  expect(parse(["-dm64m"]).flags).toMatchObject({ detach: true, memory: 67108864 });
});

test("flags stand anywhere, end at --, or at the first word where the command wants it", () => {
  expect(parse(["a", "-d", "b"])).toMatchObject({ args: ["a", "b"], flags: { detach: true } });
  expect(parse(["a", "--", "-d"])).toMatchObject({ args: ["a", "-d"], flags: { detach: false } });
  expect(parse(["-d", "a", "-t", "--name", "x"], true)).toMatchObject({
    args: ["a", "-t", "--name", "x"],
    flags: { detach: true, tty: false },
  });
  expect(parse(["-"], true).args).toEqual(["-"]);
});

test("values gather, and what was given is known", () => {
  const { flags, given } = parse(["-o", "a=1", "-o", "b", "--alias", "x,y", "--alias", "z", "-f", "a=b", "--wait", "1m30s", "-n", "-1"]);
  expect(flags).toMatchObject({ opt: { a: "1", b: "" }, alias: ["x", "y", "z"], filter: ["a=b"], wait: 90e9, count: -1 });
  expect([...given].sort()).toEqual(["alias", "count", "filter", "opt", "wait"]);
});

test.each([
  [["--foo"], "unknown flag: --foo"],
  [["-x"], "unknown shorthand flag: 'x' in -x"],
  [["-dxt"], "unknown shorthand flag: 'x' in -xt"],
  [["--name"], "flag needs an argument: --name"],
  [["-m"], "flag needs an argument: 'm' in -m"],
  [["-dm"], "flag needs an argument: 'm' in -m"],
  [["--detach=maybe"], 'invalid argument "maybe" for "-d, --detach" flag: strconv.ParseBool: parsing "maybe": invalid syntax'],
  [["-n", "x"], 'invalid argument "x" for "-n, --count" flag: strconv.ParseInt: parsing "x": invalid syntax'],
  [["-m", "foo"], `invalid argument "foo" for "-m, --memory" flag: invalid size: 'foo'`],
  [["--wait", "x"], 'invalid argument "x" for "--wait" flag: time: invalid duration "x"'],
  [["-f", "foo"], 'invalid argument "foo" for "-f, --filter" flag: bad format of filter (expected name=value)'],
  [["--=x"], "bad flag syntax: --=x"],
])("%j is refused in docker's words", (words, text) => {
  expect(() => parse(words)).toThrow(text);
});
