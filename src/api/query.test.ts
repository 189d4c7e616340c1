import { expect, test } from "bun:test";
import { byteString } from "../oci/tar-entry.ts";
import { Query } from "./query.ts";

test("booleans are read as Docker's daemon reads them", () => {
  for (const yes of ["1", "true", "True", "yes", "t", "2"]) expect([yes, new Query(`a=${yes}`).flag("a")]).toEqual([yes, true]);
  for (const no of ["", "0", "false", "False", "no", "none", "+0"]) expect([no, new Query(`a=${no}`).flag("a")]).toEqual([no, false]);
  expect([new Query("").flag("a"), new Query("b=1").flag("a", true), new Query("a=0").flag("a", true)]).toEqual([false, true, false]);
});

test("numbers, texts and lists", () => {
  const query = new Query("t=10&n=-1&e=&names=a&names=b&x=a%20b+c");
  expect([query.integer("t"), query.integer("n"), query.integer("e"), query.integer("none")]).toEqual([10, -1, undefined, undefined]);
  expect([query.list("names"), query.text("x"), query.text("e")]).toEqual([["a", "b"], "a b c", undefined]);
  expect(() => new Query("t=1s").integer("t")).toThrow('strconv.Atoi: parsing "1s": invalid syntax');
});

test("moments: seconds with a fraction, RFC 3339, zero for none", () => {
  const time = (text: string): bigint | undefined => new Query(new URLSearchParams({ since: text }).toString()).time("since");
  expect(time("1700000000")).toBe(1700000000_000000000n);
  expect(time("1700000000.5")).toBe(1700000000_500000000n);
  expect(time("1700000000.000000001")).toBe(1700000000_000000001n);
  expect(time("2023-11-14T22:13:20.25Z")).toBe(1700000000_250000000n);
  expect([time("0"), time("0.000000000"), time("")]).toEqual([undefined, undefined, undefined]);
  expect(new Query("until=0&since=").time("until", { zero: true })).toBe(0n);
  expect(new Query("until=0&since=").time("since", { zero: true })).toBeUndefined();
  expect(() => time("yesterday")).toThrow("invalid value for 'since'");
});

test("a path keeps bytes that are no UTF-8", () => {
  const bytes = (text: string): string | undefined => {
    const path = new Query(text).path("path");
    return path === undefined ? undefined : Buffer.from(byteString(path), "latin1").toString("hex");
  };
  expect(bytes("path=%2Fa")).toBe("2f61");
  expect(bytes("x=1&path=/n%FF%C3%A4%E2%82+%F0%9F%98%80")).toBe("2f6effc3a4e28220f09f9880");
  expect(bytes("path=%EF%BF%BD")).toBe("efbfbd");
  expect([bytes("path="), bytes("x=%FF")]).toEqual([undefined, undefined]);
});
