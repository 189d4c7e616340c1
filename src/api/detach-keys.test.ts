import { expect, test } from "bun:test";
import { DetachScanner, parseDetachKeys } from "./detach-keys.ts";

/** What a scanner passes on of pieces of input, and after which piece it detached. */
function scan(keys: string, ...pieces: string[]): { passed: string; detached: number } {
  const scanner = new DetachScanner(parseDetachKeys(keys));
  let passed = "";
  for (const [index, piece] of pieces.entries()) {
    const { pass, detached } = scanner.scan(Buffer.from(piece, "latin1"));
    passed += Buffer.from(pass).toString("latin1");
    if (detached) return { passed, detached: index };
  }
  return { passed, detached: -1 };
}

test("sequences are read as docker's flags write them", () => {
  expect([...parseDetachKeys("ctrl-p,ctrl-q")]).toEqual([16, 17]);
  expect([...parseDetachKeys("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,a")]).toEqual([0, 27, 28, 29, 30, 31, 97]);
  expect(() => parseDetachKeys("ctrl-,")).toThrow("Unknown character: 'ctrl-'");
  expect(() => parseDetachKeys("esc")).toThrow("Unknown character: 'esc'");
});

test("the sequence detaches wherever it stands, in one piece or in several", () => {
  expect(scan("ctrl-p,ctrl-q", "ab\x10\x11cd")).toEqual({ passed: "ab", detached: 0 });
  expect(scan("ctrl-p,ctrl-q", "ab\x10", "\x11")).toEqual({ passed: "ab", detached: 1 });
  expect(scan("x", "abx")).toEqual({ passed: "ab", detached: 0 });
});

test("what only begins like it is passed on, late but whole", () => {
  expect(scan("ctrl-p,ctrl-q", "\x10", "a")).toEqual({ passed: "\x10a", detached: -1 });
  expect(scan("ctrl-p,ctrl-q", "\x10\x10", "\x11")).toEqual({ passed: "\x10", detached: 1 });
  expect(scan("a,a,b", "aaab")).toEqual({ passed: "a", detached: 0 });
  expect(scan("a,b,a,c", "ababac")).toEqual({ passed: "ab", detached: 0 });
  expect(scan("ctrl-p,ctrl-q", "plain", " text")).toEqual({ passed: "plain text", detached: -1 });
});
