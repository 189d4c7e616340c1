import { expect, test } from "bun:test";
import { LighterError } from "../base/errors.ts";
import { digestOf } from "../oci/digest.ts";
import { parseConfig, parseIndex, parseJson, parseManifest } from "./documents.ts";

const digest = digestOf("x");
const descriptor = { mediaType: "a/b", digest, size: 1 };
const manifest = {
  schemaVersion: 2,
  config: descriptor,
  layers: [descriptor, { ...descriptor, urls: ["https://x"], annotations: { a: "b" } }],
};
const index = { schemaVersion: 2, manifests: [{ ...descriptor, platform: { os: "linux", architecture: "arm64", variant: "v8" } }] };
const config = {
  os: "linux",
  architecture: "amd64",
  config: { Env: ["A=b"], Cmd: null, Labels: { a: "b" }, Volumes: { "/x": {} } },
  rootfs: { type: "layers", diff_ids: [digest] },
  history: [{ created: "2026-01-01T00:00:00Z", created_by: "x", empty_layer: true }],
};

test("sound documents pass as they are", () => {
  expect<unknown>(parseManifest(structuredClone(manifest), digest)).toEqual(manifest);
  expect<unknown>(parseIndex(structuredClone(index), digest)).toEqual(index);
  expect<unknown>(parseConfig(structuredClone(config), digest)).toEqual(config);
});

test("what old images leave out is filled in", () => {
  expect(parseConfig({ rootfs: { diff_ids: [] }, config: null, history: null }, digest)).toEqual({
    os: "linux",
    architecture: "amd64",
    rootfs: { diff_ids: [] } as never,
  });
});

/** The paths of all values in a document. */
function paths(value: unknown, at: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([key, child]) => paths(child, [...at, key]))];
}

function replaced(document: object, path: (string | number)[], value: unknown): unknown {
  if (path.length === 0) return value;
  const copy = structuredClone(document) as Record<string, unknown>;
  let place: Record<string, unknown> = copy;
  for (const key of path.slice(0, -1)) place = place[key] as Record<string, unknown>;
  place[path.at(-1) ?? ""] = value;
  return copy;
}

test("any value replaced by any other is either refused with a sentence or harmless", () => {
  const others: unknown[] = [null, 0, -1, 1e300, "", "x", [], [null], {}, { a: null }, true];
  let refused = 0;
  for (const [document, parse] of [
    [manifest, parseManifest],
    [index, parseIndex],
    [config, parseConfig],
  ] as const) {
    for (const path of paths(document)) {
      for (const other of others) {
        try {
          const parsed = parse(replaced(document, path, other), digest) as Partial<typeof config & typeof manifest & typeof index>;
          for (const each of [...(parsed.layers ?? []), ...(parsed.manifests ?? [])]) expect(each.digest).toBe(digest);
          for (const label of Object.values(parsed.config && "Labels" in parsed.config ? (parsed.config.Labels ?? {}) : {}))
            expect(typeof label).toBe("string");
        } catch (error) {
          expect(error).toBeInstanceOf(LighterError);
          expect((error as LighterError).kind).toBe("invalid");
          refused++;
        }
      }
    }
  }
  expect(refused).toBeGreaterThan(200);
});

test("bytes that are not JSON are refused", () => {
  for (const bytes of [new Uint8Array(), new Uint8Array([0xff, 0xfe]), new TextEncoder().encode("{")]) {
    expect(() => parseJson(bytes, digest)).toThrow(LighterError);
  }
});
