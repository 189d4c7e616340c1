import { expect, test } from "bun:test";
import { oneWord, splitWords } from "./words.ts";

const ENV = ["A=1", "B=x y", "E="];

test.each([
  ["a 'b c' \"d e\" f\\ g", ["a", "b c", "d e", "f g"]],
  ["$A ${A}2 '$A' \\$A \"$B\"", ["1", "12", "$A", "$A", "x y"]],
  ["${NO:-no} ${E:-empty} ${E-kept}. ${A:+set} ${NO:+set}.", ["no", "empty", ".", "set", "."]],
  ['"a\\"b" "c\\d" $ 5$', ['a"b', "c\\d", "$", "5$"]],
  ["${NO:-$A}", ["1"]],
])("%s", (text, words) => {
  expect(splitWords(text, ENV)).toEqual(words);
});

test("one word keeps its blanks", () => {
  expect(oneWord("some $A words", ENV)).toBe("some 1 words");
});

test.each(["${A", "${", "'a", '"a', "${A?b}"])("%s is refused", (text) => {
  expect(() => splitWords(text, ENV)).toThrow();
});
