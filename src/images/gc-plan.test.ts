import { expect, test } from "bun:test";
import { digestOf } from "../oci/digest.ts";
import { planGc, isPinned, shortage, type Candidate } from "./gc-plan.ts";
import { CAREFUL, parseAutomaticGc, parseGcPolicy } from "./gc-policy.ts";

const NOW = 1_000_000_000_000_000_000n;
const HOUR = 3_600_000_000_000n;

/** An image that was last used so many hours ago, its names as old as that. */
function image(hours: number, names: string[], more: Partial<Candidate> = {}): Candidate {
  const lastUsed = NOW - BigInt(hours) * HOUR;
  const rows = names.map((name, index) => {
    const [repository = "", tag = null] = name.split(/:(?=[^/]+$)/);
    return { name, repository, tag, created: lastUsed + BigInt(index) };
  });
  return { id: digestOf(`${hours}${names.join()}`), names: rows, lastUsed, labels: {}, needed: undefined, ...more };
}

const A = "docker.io/library/a";

test("an image without a name goes once it is not recent, one that is needed never", () => {
  const plan = planGc([image(2, []), image(0, []), image(9, [], { needed: "used by the container x" })], CAREFUL, [], NOW);
  expect(plan.goners).toEqual([
    { image: image(2, []).id, names: [], whole: true, rule: "no-name", why: "it has no name, and no container uses it" },
  ]);
  expect(plan.kept.map(({ why }) => why)).toEqual(["used by the container x", "last used less than a second ago, too recently to go"]);
});

test("what was not used for long goes; the rest may go for space, longest unused first", () => {
  const policy = parseGcPolicy({ "unused-for": "30d", "keep-recent": "0s" });
  const plan = planGc([image(1, [`${A}:1`]), image(800, [`${A}:2`, "x.test/b:1"]), image(5, [`${A}:3`])], policy, [], NOW);
  expect(plan.goners.map(({ names, rule, why }) => ({ names, rule, why }))).toEqual([
    { names: [`${A}:2`, "x.test/b:1"], rule: "unused", why: "not used for 4 weeks" },
  ]);
  expect(plan.spare.map(({ names }) => names)).toEqual([[`${A}:3`], [`${A}:1`]]);
});

test("the newest tags of each repository stay; an image goes with the last of its names", () => {
  const policy = parseGcPolicy({ "keep-tags": 1, "keep-recent": "0s" });
  const both = image(7, [`${A}:old`, "x.test/b:1"]);
  const plan = planGc(
    [image(1, [`${A}:new`]), both, image(8, [`${A}:older`]), image(9, [`${A}:oldest`], { needed: "used" })],
    policy,
    [],
    NOW,
  );
  const why = "not among the 1 newest tags of a";
  expect(plan.goners).toEqual([
    { image: image(8, [`${A}:older`]).id, names: [`${A}:older`], whole: true, rule: "tags", why },
    { image: both.id, names: [`${A}:old`], whole: false, rule: "tags", why },
  ]);
});

test.each([
  ["a", "a:1", true],
  ["a:*", "a:1", true],
  ["docker.io/library/a", "a:1", true],
  ["a:2", "a:1", false],
  ["b", "a:1", false],
  ["x.test:5000/*/c", "x.test:5000/b/c:1", true],
  ["x.test:5000/*", "x.test:5000/b/c:1", false],
])("the pin %s and the name %s", (pattern, name, pinned) => {
  const full = name.startsWith("x.") ? name : `docker.io/library/${name}`;
  expect(isPinned(pattern, full)).toBe(pinned);
});

test("labels pin, by key or by value", () => {
  const one = image(5, [`${A}:1`], { labels: { keep: "yes" } });
  const stays = (label: string): boolean =>
    planGc([one], parseGcPolicy({ "pin-labels": [label], "unused-for": "1h" }), [], NOW).kept.length === 1;
  expect([stays("keep"), stays("keep=yes"), stays("keep=no"), stays("other")]).toEqual([true, true, false, false]);
});

test("watermarks: a share of the disk, or bytes of images", () => {
  const full = { total: 1000, used: 900, images: 500 };
  expect(shortage(parseGcPolicy({ high: "85%", low: "70%" }), full)).toEqual({ bytes: 200, why: "the disk is 90.0% full, more than 85%" });
  expect(shortage(parseGcPolicy({ high: "90%" }), full)).toBeUndefined();
  expect(shortage(parseGcPolicy({ high: 400, low: 100 }), full)?.bytes).toBe(400);
  expect(shortage(parseGcPolicy({ high: "1kB" }), full)).toBeUndefined();
  expect(shortage(CAREFUL, full)).toBeUndefined();
});

test.each([
  [{ nonsense: 1 }, 'unknown key "nonsense"'],
  [{ high: "101%" }, '"high" is not a share'],
  [{ high: true }, '"high" is not a share'],
  [{ low: "5%" }, '"low" needs "high"'],
  [{ high: "5%", low: "1GB" }, "not of the same kind"],
  [{ high: "5%", low: "6%" }, '"low" is above "high"'],
  [{ "keep-tags": 0 }, '"keep-tags" is not a number'],
  [{ "unused-for": 5 }, '"unused-for" is not a duration'],
  [{ "unused-for": "-1h" }, '"unused-for" is not a duration'],
  [{ "unused-for": "soon" }, 'Cannot use the gc policy: "unused-for" is not a duration'],
  [{ high: "much" }, 'Cannot use the gc policy: "high" is not a share'],
  [{ pins: "a" }, '"pins" is not a list'],
  [{ pins: ["a/b:*", "Bad Name"] }, 'Cannot pin "Bad Name": no image can be called so'],
])("the policy %j is refused", (json, text) => {
  expect(() => parseGcPolicy(json)).toThrow(text);
});

test("daemon.json's gc", () => {
  expect(parseAutomaticGc({})).toEqual({ policy: CAREFUL, every: 600e9 });
  expect(parseAutomaticGc({ enabled: false, "keep-tags": "3" })).toEqual({ policy: { ...CAREFUL, keepTags: 3 }, every: undefined });
  expect(parseAutomaticGc({ every: "1h", "unused-for": "2w" })).toMatchObject({ every: 3600e9, policy: { unusedFor: 14 * 24 * 3600e9 } });
  for (const wrong of [5, [], null, { every: "0s" }, { enabled: "yes" }])
    expect(() => parseAutomaticGc(wrong)).toThrow("Cannot use the gc policy");
  expect(parseGcPolicy({ pins: ["b"] }, { ...CAREFUL, pins: ["a"] }).pins).toEqual(["a", "b"]);
});
