import { expect, test } from "bun:test";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { openDistribution } from "../distribution/open.ts";
import { addExtent, type Extent, holesBetween, lengthOf } from "../content/extents.ts";
import { digestOf } from "../oci/digest.ts";
import type { Descriptor } from "../oci/image.ts";
import { fetchBlob, type FetchOptions, type Target } from "./fetch-blob.ts";
import { Pace, type Ranges } from "./range-plan.ts";
import { failure } from "./workshop.suite.ts";

/** Small, and never fast enough for one connection. */
const SMALL: Ranges = { from: 200_000, first: 50_000, part: 60_000, least: 60_000, lanes: 4, fast: Infinity };
const SIZE = 1_000_000;

type Serve = (range: { start: number; end: number } | undefined, response: ServerResponse, count: number) => void;

/** Bytes of blobs by whatever rules; `asked` are the Range headers in order, `most` how many answers were under way at once. */
async function server(data: Uint8Array, serve: Serve): Promise<AsyncDisposable & { host: string; asked: string[]; most: number }> {
  const answers: ServerResponse[] = [];
  const http = createServer((request: IncomingMessage, response) => {
    if (request.url === "/v2/") return void response.end("{}");
    const { range = "" } = request.headers;
    told.asked.push(range);
    answers.push(response);
    told.most = Math.max(told.most, answers.filter((each) => !each.writableEnded && !each.destroyed).length);
    const [, start, end] = /^bytes=(\d+)-(\d*)$/.exec(range) ?? [];
    const wanted = start === undefined ? undefined : { start: Number(start), end: end ? Number(end) + 1 : data.length };
    serve(wanted, response, answers.length - 1);
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const told = {
    host: `127.0.0.1:${(http.address() as AddressInfo).port}`,
    asked: [] as string[],
    most: 0,
    async [Symbol.asyncDispose]() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  return told;
}

/** A blob in memory that keeps an ingest's rules. */
function memory(): Target & { data: Uint8Array; written: number; starts: number } {
  let here: Extent[] = [];
  const target = {
    data: new Uint8Array(SIZE),
    written: 0,
    starts: 0,
    get offset() {
      return here[0]?.start === 0 ? here[0].end : 0;
    },
    get received() {
      return lengthOf(here);
    },
    holes: (size: number) => holesBetween(here, 0, size),
    place(position: number, data: Uint8Array) {
      const before = lengthOf(here);
      here = addExtent(here, { start: position, end: position + data.length });
      if (lengthOf(here) !== before + data.length) throw new Error(`bytes from ${position} came twice`);
      target.data.set(data, position);
      target.written += data.length;
      return Promise.resolve();
    },
    restart() {
      here = [];
      target.starts++;
      return Promise.resolve();
    },
  };
  return target;
}

function blobOf(data: Uint8Array): Descriptor {
  return { mediaType: "application/octet-stream", digest: digestOf(data), size: data.length };
}

function random(): Uint8Array {
  const data = new Uint8Array(SIZE);
  for (let at = 0; at < SIZE; at += 65536) crypto.getRandomValues(data.subarray(at, Math.min(SIZE, at + 65536)));
  return data;
}

async function fetchFrom(
  host: string,
  target: Target,
  blob: Descriptor,
  { signal = new AbortController().signal, ...options }: Partial<Pick<FetchOptions, "signal" | "attempts" | "retrying">> = {},
): Promise<void> {
  const distribution = openDistribution({ insecureRegistries: [], registryMirrors: [], certificateDirectories: [], userAgent: "test" });
  const repositories = distribution.repository({ registry: host, repository: "x", tag: "1" }, {});
  await fetchBlob(target, blob, { repositories, signal, progress: () => undefined, ranges: SMALL, ...options });
}

/** Sends slowly enough that several connections come about. */
function slowly(response: ServerResponse, bytes: Uint8Array): void {
  let at = 0;
  const next = (): void => {
    if (response.destroyed) return;
    const piece = bytes.subarray(at, (at += 10_000));
    if (at >= bytes.length) return void response.end(piece);
    response.write(piece);
    setTimeout(next, 1);
  };
  next();
}

function part(response: ServerResponse, data: Uint8Array, start: number, end: number, headers = {}): void {
  response.writeHead(206, { "content-range": `bytes ${start}-${end - 1}/${data.length}`, "content-length": end - start, ...headers });
  slowly(response, data.subarray(start, end));
}

test("a large blob comes by several ranges at once, each byte once", async () => {
  const data = random();
  await using registry = await server(data, (range, response) => part(response, data, range?.start ?? 0, range?.end ?? SIZE));
  const target = memory();
  await fetchFrom(registry.host, target, blobOf(data));
  expect(Buffer.from(target.data).equals(data)).toBe(true);
  expect(target.written).toBe(SIZE);
  expect(registry.asked[0]).toBe("bytes=0-49999");
  expect(registry.asked.length).toBeGreaterThan(10);
  expect(registry.most).toBeGreaterThan(1);
  expect(registry.most).toBeLessThanOrEqual(SMALL.lanes);
});

test("a registry that takes no notice of ranges sends it once", async () => {
  const data = random();
  await using registry = await server(data, (_, response) => void response.writeHead(200, { "content-length": SIZE }).end(data));
  const target = memory();
  await fetchFrom(registry.host, target, blobOf(data));
  expect(Buffer.from(target.data).equals(data)).toBe(true);
  expect({ asked: registry.asked.length, starts: target.starts }).toEqual({ asked: 1, starts: 0 });
});

test("a registry that stops serving ranges in the middle: all of it in one piece, from nothing", async () => {
  const data = random();
  await using registry = await server(data, (range, response, count) => {
    if (count < 6 && range !== undefined) part(response, data, range.start, range.end);
    else response.writeHead(200, { "content-length": SIZE }).end(data);
  });
  const target = memory();
  await fetchFrom(registry.host, target, blobOf(data));
  expect(Buffer.from(target.data).equals(data)).toBe(true);
  expect(target.starts).toBe(1);
});

test("answers that are shorter than what was asked for, connections that break or do not come about", async () => {
  const data = random();
  await using registry = await server(data, (range, response, count) => {
    const { start, end } = range ?? { start: 0, end: SIZE };
    if (count % 5 === 4) return void response.destroy();
    if (count % 5 === 3) {
      // Less than the header promises, then the end of the connection.
      response.writeHead(206, { "content-range": `bytes ${start}-${end - 1}/${SIZE}`, "content-length": end - start });
      const half = start + Math.ceil((end - start) / 2);
      return void response.write(data.subarray(start, half), () => setTimeout(() => response.socket?.end(), 5));
    }
    // Fewer bytes than asked for, and said so.
    part(response, data, start, Math.min(end, start + 20_000), { etag: `"${count}"` });
  });
  const target = memory();
  await fetchFrom(registry.host, target, blobOf(data));
  expect(Buffer.from(target.data).equals(data)).toBe(true);
}, 60_000);

test("another size than the manifest's is an error at once, and so is a part from elsewhere", async () => {
  const data = random();
  await using longer = await server(data, (range, response) => part(response, data, range?.start ?? 0, range?.end ?? SIZE));
  const error = await failure(fetchFrom(longer.host, memory(), { ...blobOf(data), size: SIZE - 1 }));
  expect(error).toMatchObject({ kind: "invalid" });
  expect(error.message).toContain(`the registry has ${SIZE} bytes`);
  expect(longer.asked.length).toBe(1);
  await using elsewhere = await server(data, (_, response) => part(response, data, 1000, SIZE));
  expect(await failure(fetchFrom(elsewhere.host, memory(), blobOf(data)))).toMatchObject({ kind: "invalid" });
});

test("answers without a byte in them come to an end; the wait for the next attempt is told", async () => {
  const told: number[] = [];
  const data = random();
  await using empty = await server(data, (range, response) => {
    const start = range?.start ?? 0;
    if (start === 0) part(response, data, 0, range?.end ?? SIZE);
    else response.writeHead(206, { "content-range": `bytes ${start}-${start - 1}/${SIZE}`, "content-length": 0 }).end();
  });
  const options = { attempts: 4, retrying: (seconds: number) => void told.push(seconds) };
  expect((await failure(fetchFrom(empty.host, memory(), blobOf(data), options))).kind).toBe("unavailable");
  expect(told).toEqual([1, 3, 2, 1]);
  expect(empty.asked.length).toBeLessThan(10);
}, 60_000);

test("a cancel ends all connections", async () => {
  const data = random();
  const abort = new AbortController();
  await using registry = await server(data, (range, response, count) => {
    if (count === 0) return part(response, data, range?.start ?? 0, range?.end ?? SIZE);
    // Never ends.
    response.writeHead(206, { "content-range": `bytes ${range?.start ?? 0}-${(range?.end ?? SIZE) - 1}/${SIZE}` }).flushHeaders();
    if (count === 3) abort.abort();
  });
  const target = memory();
  expect(await failure(fetchFrom(registry.host, target, blobOf(data), { signal: abort.signal }))).toMatchObject({ kind: "cancelled" });
  expect(target.received).toBe(50_000);
});

test("what is asked for at a time follows the wait for an answer and the speed, within bounds", () => {
  const ranges = { ...SMALL, least: 10_000 };
  const pace = new Pace();
  expect(pace.part(ranges)).toBe(10_000);
  pace.note({ wait: 90, bytes: 100_000, took: 100 });
  expect(pace.part(ranges)).toBe(10_000);
  pace.note({ wait: 2, bytes: 100_000, took: 100 });
  expect(pace.part(ranges)).toBe(20_000);
  pace.note({ wait: 30, bytes: 1_000, took: 100 });
  expect(pace.part(ranges)).toBe(10_000);
  pace.note({ wait: 30, bytes: 100_000_000, took: 100 });
  expect(pace.part(ranges)).toBe(60_000);
});
