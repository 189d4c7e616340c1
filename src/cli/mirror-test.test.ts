import { expect, test } from "bun:test";
import type { MeasuredMirror } from "../client/mirrors.ts";
import { mirrorArguments } from "./mirror-arguments.ts";
import { recommendation } from "./mirror-test.ts";

const ORIGIN = { URL: "https://ghcr.io", Source: "", LatencyMs: 50, BytesPerSecond: 1000 };
const row = (URL: string, values: Partial<MeasuredMirror>): MeasuredMirror => ({ URL, Source: "candidate", LatencyMs: 1, ...values });

test.each<[string, MeasuredMirror[], string]>([
  [
    "the fastest first, those that are not faster left out, commands for those that are not there yet",
    [
      row("https://a", { BytesPerSecond: 2000 }),
      row("https://b", { BytesPerSecond: 9000, Source: "mirrors" }),
      row("https://c", { BytesPerSecond: 1050 }),
      row("https://d", { Failure: "gone" }),
      ORIGIN,
    ],
    "Recommended for ghcr.io, in this order: https://b, https://a.\n  lighter mirror add ghcr.io https://a",
  ],
  ["none is better", [row("https://a", { BytesPerSecond: 900 }), ORIGIN], "Recommended: no mirror, ghcr.io itself is as fast as any."],
  [
    "the registry cannot be reached",
    [row("https://a", { BytesPerSecond: 1, Source: "mirrors" }), { URL: "https://ghcr.io", Source: "", Failure: "no route" }],
    "Recommended for ghcr.io, in this order: https://a.",
  ],
  [
    "latency decides where nothing was transferred",
    [row("https://a", { LatencyMs: 5, Source: "mirrors" }), { URL: "https://ghcr.io", Source: "", LatencyMs: 80 }],
    "Recommended for ghcr.io, in this order: https://a.",
  ],
  [
    "nobody answers",
    [row("https://a", { Failure: "x" }), { URL: "https://ghcr.io", Source: "", Failure: "y" }],
    "Nothing of ghcr.io can be reached: neither the registry nor a mirror.",
  ],
])("%s", (_, rows, text) => expect(recommendation("ghcr.io", rows)).toBe(text));

test("a registry, then URLs; docker.io when none is named", () => {
  expect(mirrorArguments(["https://a"])).toEqual({ registry: "docker.io", urls: ["https://a"] });
  expect(mirrorArguments(["ghcr.io", "https://a", "http://b"])).toEqual({ registry: "ghcr.io", urls: ["https://a", "http://b"] });
  expect(mirrorArguments(["ghcr.io"])).toEqual({ registry: "ghcr.io", urls: [] });
  expect(mirrorArguments([])).toEqual({ registry: "docker.io", urls: [] });
  expect(() => mirrorArguments(["https://a", "ghcr.io"])).toThrow('Cannot take "ghcr.io" for a mirror');
});
