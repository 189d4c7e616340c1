import { expect, test } from "bun:test";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { readManifestDocument } from "./manifest-document.ts";
import { algorithmOf } from "./references.ts";

const SEED = Number(process.env["LIGHTER_TEST_SEED"] ?? 1);

/** Random numbers in [0, 1) that the seed decides (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const descriptor = (text: string, mediaType: string): object => ({ mediaType, digest: digestOf(text), size: text.length });
const IMAGE = JSON.stringify({
  schemaVersion: 2,
  mediaType: MEDIA.ociManifest,
  artifactType: "application/x",
  config: descriptor("config", MEDIA.ociConfig),
  layers: [descriptor("a", MEDIA.ociLayer), { ...descriptor("b", MEDIA.ociLayer), urls: ["https://x.test"] }],
  subject: descriptor("subject", MEDIA.ociManifest),
  annotations: { a: "b" },
});
const VALUES = ["null", "{}", "[]", '""', "-1", "1e999", "true", '"sha256:00"', '"\\ud800"', "[[]]", '{"digest":null}', "", ",", '"'];

test("a manifest is read for what it needs, what it is about and what it is", () => {
  expect(readManifestDocument(new TextEncoder().encode(IMAGE), MEDIA.ociManifest)).toEqual({
    mediaType: MEDIA.ociManifest,
    needs: [digestOf("config"), digestOf("a")],
    subject: digestOf("subject"),
    artifactType: "application/x",
    annotations: { a: "b" },
  });
});

test(`manifests with random damage (seed ${SEED}) are read or refused with a sentence: nothing is thrown, and no digest that is none comes out`, () => {
  const random = randomOf(SEED);
  const pick = (most: number): number => Math.floor(random() * most);
  let taken = 0;
  for (let n = 0; n < 5000; n++) {
    let text = IMAGE;
    for (let times = pick(3); times >= 0; times--) {
      // A value, or any span, by something else.
      const [start, end] = random() < 0.7 ? valueIn(text, pick(text.length)) : [pick(text.length), pick(text.length)].sort((a, b) => a - b);
      text = text.slice(0, start) + (VALUES[pick(VALUES.length)] ?? "") + text.slice(end);
    }
    const told = [MEDIA.ociManifest, MEDIA.ociIndex, "", "text/plain"][pick(4)] ?? "";
    const document = readManifestDocument(new TextEncoder().encode(text), told);
    if (typeof document === "string") continue;
    taken++;
    for (const digest of [...document.needs, ...(document.subject === undefined ? [] : [document.subject])]) {
      if (algorithmOf(digest) === undefined) throw new Error(`seed ${SEED}, ${n}: "${digest}" came out of ${text}`);
    }
  }
  expect(taken).toBeGreaterThan(0);
});

/** Where the value behind the next colon begins and ends. */
function valueIn(text: string, from: number): [number, number] {
  const start = text.indexOf(":", from) + 1;
  const length = /^(?:"(?:[^"\\]|\\.)*"|[^,}\]]*)/.exec(text.slice(start))?.[0].length ?? 0;
  return [start, start + length];
}
