import { expect, test } from "bun:test";
import { engineWith, request } from "./api.fixture.ts";
import type { Call } from "./call.ts";
import { Query } from "./query.ts";
import { ROUTES } from "./routes.ts";
import { section } from "./version-change.ts";
import { CHANGES, nameOf, shapeBody, shapeQuery } from "./versions.ts";
import { CASES, engineThatKeeps, GONE, info, inspect, QUERIES, type Case, type Json } from "./versions.fixture.ts";

/** What of `expected` is not so in `actual`: objects are compared by the fields named, `undefined` stands for a field that is not there. */
function differences(expected: unknown, actual: unknown, at = ""): string[] {
  const both = [expected, actual];
  if (both.every((value) => typeof value === "object" && value !== null) && Array.isArray(expected) === Array.isArray(actual)) {
    if (Array.isArray(expected) && expected.length !== (actual as unknown[]).length) return [`${at}: ${JSON.stringify(actual)}`];
    return Object.entries(expected as Json).flatMap(([key, value]) => differences(value, (actual as Json)[key], `${at}.${key}`));
  }
  return Object.is(expected, actual) ? [] : [`${at}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`];
}

/** The answer's object (the first one of a list) with what the engine was asked beside it. */
async function outcome(version: number, route: string, { ask, body }: Pick<Case, "ask" | "body">): Promise<Json> {
  const { engine, asked } = engineThatKeeps();
  const { json } = await request(engine, `${route.split(" ")[0]} /v1.${version}${ask}`, body ? { body: JSON.stringify(body) } : {});
  const answered = (Array.isArray(json) ? json[0] : json) as Json | undefined;
  return { ...asked(), ...answered };
}

const routesOf = (change: (typeof CHANGES)[number]): readonly string[] => [change.route].flat();
const title = (change: (typeof CHANGES)[number]): string => `${change.below} ${routesOf(change)[0]} ${change.field}`;

test("every row names routes of the table, and every case is of a row", () => {
  const routes = new Set(ROUTES.map(nameOf));
  expect(CHANGES.flatMap(routesOf).filter((route) => !routes.has(route))).toEqual([]);
  const titles = new Set(CHANGES.map(title));
  expect(titles.size).toBe(CHANGES.length);
  const cases = [...Object.keys(CASES), ...Object.keys(QUERIES), ...Object.keys(BODIES)];
  expect(cases.filter((name) => !titles.has(name))).toEqual([]);
  expect([...titles].filter((name) => !cases.includes(name))).toEqual([]);
  for (const { history, below } of CHANGES)
    expect(history ?? section(below)).toMatch(/^https:\/\/docs\.docker\.com\/.*#v1\d\d-api-changes$/);
});

/** Rows whose handler is another's: what it reads. */
const BODIES: Record<string, { body: Json; old: Json }> = {
  "40 POST /containers/:id/update PidsLimit": { body: { PidsLimit: 5 }, old: { PidsLimit: GONE } },
};

for (const change of CHANGES) {
  const name = title(change);
  test(`below 1.${change.below}, ${routesOf(change)[0]} ${change.field}: ${change.change}`, async () => {
    const route = routesOf(change)[0] as string;
    const one = CASES[name];
    if (one !== undefined) {
      const [last, border] = [await outcome(change.below - 1, route, one), await outcome(change.below, route, one)];
      expect(differences(one.old, last)).toEqual([]);
      expect(differences(one.now, border)).toEqual([]);
      expect(differences(one.old, border)).not.toEqual([]);
    }
    for (const every of routesOf(change)) {
      const read = (version: number): Query => {
        const query = new Query(QUERIES[name]?.query ?? "");
        shapeQuery(version, every, query);
        return query;
      };
      for (const [key, value] of Object.entries(QUERIES[name]?.old ?? {})) {
        expect(read(change.below - 1).text(key)).toBe(value);
        expect(read(change.below).text(key)).toBe(new Query(QUERIES[name]?.query ?? "").text(key));
      }
    }
    const { body, old } = BODIES[name] ?? { body: {}, old: {} };
    const shaped = (version: number): Json => {
      const copy = { ...body };
      shapeBody({ version, route, warnings: [] } as unknown as Call, copy);
      return copy;
    };
    if (BODIES[name] !== undefined) {
      expect(differences(old, shaped(change.below - 1))).toEqual([]);
      expect(shaped(change.below)).toEqual(body);
    }
  });
}

test("the oldest client gets all of it at once", async () => {
  const aged = await outcome(24, "GET /containers/x/json", { ...inspect });
  expect(aged).toMatchObject({ GraphDriver: { Name: "overlayfs" }, HostConfig: { KernelMemory: 0 }, NetworkSettings: { Bridge: "" } });
  const told = await outcome(24, "GET /info", { ...info });
  expect(told).toMatchObject({ BridgeNfIptables: true, KernelMemory: false, SecurityOptions: ["seccomp", "cgroupns"] });
});

test("1.52 lists the objects beside the sums; with verbose the sums hold them", async () => {
  const [plain, verbose] = await Promise.all(["", "?verbose=1"].map((query) => outcome(52, "GET /x", { ask: `/system/df${query}` })));
  expect(plain).toMatchObject({ Images: [{ Size: 7 }], ImageUsage: { TotalSize: 5 } });
  expect((plain as { ImageUsage: Json }).ImageUsage).not.toHaveProperty("Items");
  expect(verbose).toMatchObject({ ImageUsage: { Items: [{ Size: 7 }] } });
  expect(verbose).not.toHaveProperty("Images");
});

test("warnings of what is on its way out", async () => {
  const { engine } = engineThatKeeps();
  const warnings = async (version: number, body: Json): Promise<unknown> =>
    ((await request(engine, `POST /v1.${version}/containers/create`, { body: JSON.stringify({ Image: "x", ...body }) })).json as Json)[
      "Warnings"
    ];
  const mac = { MacAddress: "02:00:00:00:00:01" };
  expect(await warnings(43, mac)).toEqual([]);
  expect(await warnings(44, mac)).toEqual([
    "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.",
  ]);
  const ports = { HostConfig: { PortBindings: { "80/tcp": [] } } };
  expect(await warnings(51, ports)).toEqual([]);
  expect(await warnings(52, ports)).toEqual([
    "Following container port(s) have an empty list of port-bindings: 80/tcp. Starting with API 1.53, such bindings will be discarded.",
  ]);
});

test("a MAC address of the container: none in a network of another, and none but one", async () => {
  const { engine } = engineThatKeeps();
  const message = async (version: number, body: Json): Promise<unknown> =>
    ((await request(engine, `POST /v1.${version}/containers/create`, { body: JSON.stringify({ Image: "x", ...body }) })).json as Json)[
      "message"
    ];
  const MacAddress = "02:00:00:00:00:01";
  expect(await message(43, { MacAddress, HostConfig: { NetworkMode: "host" } })).toBe(
    "conflicting options: mac-address and the network mode",
  );
  const other = { EndpointsConfig: { n: { MacAddress: "02:00:00:00:00:02" } } };
  expect(await message(44, { MacAddress, HostConfig: { NetworkMode: "n" }, NetworkingConfig: other })).toMatch(
    /must match the endpoint-specific/,
  );
});

test("what came later than the client is refused", async () => {
  const { engine } = engineThatKeeps();
  for (const route of ROUTES.filter(({ since }) => since !== undefined)) {
    const path = route.path.replaceAll(/:\w+(?:\{[^}]*\})?/g, "thing");
    const { status, json } = await request(engine, `${route.method} /v1.${(route.since as number) - 1}${path}`);
    expect([status, json]).toEqual([400, { message: `${nameOf(route)} requires minimum API version 1.${route.since}` }]);
  }
});

test("wait: the head at once since 1.30, an error's place always before 1.42, no word of a failed removal before 1.34", async () => {
  const ends = Promise.withResolvers<{ statusCode: number; error?: string }>();
  const engine = engineWith({ containers: { wait: () => ({ result: ends.promise, cancel: () => {} }) } });
  const line = (version: number): string => `POST /v1.${version}/containers/x/wait?condition=removed`;
  const early = request(engine, line(29));
  expect(await Promise.race([early, Bun.sleep(20).then(() => "waits")])).toBe("waits");
  ends.resolve({ statusCode: 3 });
  expect((await early).text).toBe('{"StatusCode":3,"Error":null}\n');
  expect((await request(engine, line(41))).text).toBe('{"StatusCode":3,"Error":null}\n');
  expect((await request(engine, line(42))).text).toBe('{"StatusCode":3}\n');
  const failed = engineWith({
    containers: { wait: () => ({ result: Promise.resolve({ statusCode: 3, error: "busy" }), cancel: () => {} }) },
  });
  expect((await request(failed, line(33))).text).toBe("");
  expect((await request(failed, line(34))).text).toBe('{"StatusCode":3,"Error":{"Message":"busy"}}\n');
});
