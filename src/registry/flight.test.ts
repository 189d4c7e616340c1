import { afterEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openContent } from "../content/open.ts";
import { openDistribution } from "../distribution/open.ts";
import { digestOf } from "../oci/digest.ts";
import { State } from "../state/state.ts";
import { Flight, type FlightOptions } from "./flight.ts";
import { localStorage } from "./local-storage.ts";
import { REGISTRY_ROOTS } from "./rows.ts";
import { repositoryOf } from "./upstreams.ts";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const BYTES = new Uint8Array(4000).map((_, at) => at % 251);

/** A download of `BYTES` from an upstream that answers in a way of its own, by the position that it is asked to go on at. */
async function begin(answer: (start: number, asked: number) => Response): Promise<{ flight: Flight; starts: number[] }> {
  const folder = await mkdtemp(join(tmpdir(), "lighter-flight-"));
  const state = new State(join(folder, "state.db"));
  const content = localStorage(await openContent({ dataRoot: folder, state, roots: [REGISTRY_ROOTS] }), state);
  const starts: number[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    // It would end what stands still by itself.
    idleTimeout: 0,
    fetch(request) {
      if (new URL(request.url).pathname === "/v2/") return Response.json({});
      starts.push(Number(/^bytes=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0));
      return answer(starts.at(-1) ?? 0, starts.length);
    },
  });
  closers.push(async () => {
    await server.stop(true);
    state.close();
    await rm(folder, { recursive: true, force: true });
  });
  const url = `http://127.0.0.1:${server.port}`;
  const proxy = { prefix: "x", url, insecure: true, ttl: 0 };
  const repository = repositoryOf(
    openDistribution({ insecureRegistries: [], registryMirrors: [], certificateDirectories: [], userAgent: "test" }),
    { proxy, local: "x/app", remote: "app", isGuess: false },
  );
  const write: FlightOptions["write"] = (change) => state.write(change, { durable: false });
  const flight = new Flight({ content, repository, digest: digestOf(BYTES), link: () => undefined, write, patience: 1000, pause: 1 });
  return { flight, starts };
}

function part(start: number, end: number): Response {
  const headers = { "content-range": `bytes ${start}-${end - 1}/${BYTES.length}` };
  return new Response(BYTES.slice(start, end), { status: 206, headers });
}

/** Sends its first bytes and then nothing. */
function standing(bytes: Uint8Array): Response {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(bytes),
    pull: () => new Promise(() => undefined),
  });
  return new Response(body);
}

test("an upstream that stands still is asked to go on", async () => {
  const { flight, starts } = await begin((start) => (start === 0 ? standing(BYTES.slice(0, 1000)) : part(start, BYTES.length)));
  await flight.done;
  expect(starts).toEqual([0, 1000]);
}, 60_000);

test("an upstream that sends a little each time is not asked for ever", async () => {
  const { flight, starts } = await begin((start) => part(start, start + 1));
  const failure = await flight.done.catch((error: unknown) => error);
  expect(failure).toMatchObject({ kind: "unavailable" });
  expect(starts).toEqual(Array.from({ length: 100 }, (_, at) => at));
}, 60_000);

test("an upstream that begins anew and breaks off each time is given up", async () => {
  const { flight, starts } = await begin(() => part(0, 1000));
  const failure = await flight.done.catch((error: unknown) => error);
  expect(failure).toMatchObject({ kind: "unavailable" });
  expect(starts).toEqual([0, 1000, 1000, 1000, 1000]);
}, 60_000);
