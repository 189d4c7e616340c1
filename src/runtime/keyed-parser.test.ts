import { expect, test } from "bun:test";
import { KeyedParser } from "./keyed-parser.ts";

function parse(parser: KeyedParser, text: string): Record<string, unknown> {
  // What stands behind the end belongs to an earlier, longer file.
  return parser.parse(Buffer.from(`${text}rest 9\n`), text.length);
}

test("lines of key and value, of wanted keys alone", () => {
  const parser = new KeyedParser(["a", "total_cache"]);
  expect(parse(parser, "a 1\nb 2\ntotal_cache 30\n")).toEqual({ a: 1, total_cache: 30 });
  expect(parse(new KeyedParser(), "a 1\nb 2\n")).toEqual({ a: 1, b: 2 });
  expect(parse(parser, "")).toEqual({});
});

test("a file with other keys, more or fewer of them, is read as it is", () => {
  const parser = new KeyedParser();
  expect(parse(parser, "anon 1\nfile 2\nshmem 3\n")).toEqual({ anon: 1, file: 2, shmem: 3 });
  expect(parse(parser, "anon 4\nkernel 5\nfile 6\n")).toEqual({ anon: 4, kernel: 5, file: 6 });
  expect(parse(parser, "anon 7\n")).toEqual({ anon: 7 });
  expect(parse(parser, "anon 8\nfile 9\nshmem 10\nzswap 11\n")).toEqual({ anon: 8, file: 9, shmem: 10, zswap: 11 });
});

test("counts keep all their digits; what is no number is 0, what follows one is left aside", () => {
  const parser = new KeyedParser();
  expect(parse(parser, "limit 9223372036854771712\nsafe 9007199254740991\nmax max\nlong 1234567890123456 7\n")).toEqual({
    limit: 9223372036854771712n,
    safe: 9007199254740991,
    max: 0,
    long: 1234567890123456,
  });
  expect(parse(parser, "limit 18446744073709551615\n")).toEqual({ limit: 18446744073709551615n });
});

test("a file that ends in the middle of a line gives what is there", () => {
  expect(parse(new KeyedParser(), "a 1\nb")).toEqual({ a: 1 });
  expect(parse(new KeyedParser(), "a 1\nb 2")).toEqual({ a: 1, b: 2 });
});
