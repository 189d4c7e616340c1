import { expect, test } from "bun:test";
import { LighterError, type ErrorKind } from "../base/errors.ts";
import { engineWith, request } from "./api.fixture.ts";

const none = engineWith({});

test("the version is negotiated with Docker's texts", async () => {
  expect((await request(none, "GET /v1.99/info")).json).toEqual({
    message: "client version 1.99 is too new. Maximum supported API version is 1.56",
  });
  const old = await request(none, "GET /v1.23/_ping");
  expect(old.status).toBe(400);
  expect(old.json).toEqual({
    message: "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
  });
  // What skopeo asks for by a version of its own.
  expect((await request(none, "POST /v1.22/images/load")).status).not.toBe(400);
  for (const path of ["/_ping", "/v1.24/_ping", "/v1.56/_ping"]) expect((await request(none, `GET ${path}`)).text).toBe("OK");
  expect((await request(none, "GET /v2.0/_ping")).status).toBe(400);
  for (const text of ["1", "1.4.1", "1.x", "0.9", "1.024x"])
    expect([text, (await request(none, `GET /v${text}/_ping`)).json]).toEqual([
      text,
      { message: expect.stringContaining(`client version ${text} is too old.`) as string },
    ]);
});

test("ping tells clients what they ask for, also by HEAD", async () => {
  for (const method of ["GET", "HEAD"]) {
    const { status, headers } = await request(none, `${method} /_ping`);
    expect([status, headers["Cache-Control"], headers["Pragma"]]).toEqual([200, "no-cache, no-store, must-revalidate", "no-cache"]);
  }
});

test("unknown paths and methods are 404", async () => {
  for (const line of ["GET /nope", "PATCH /info", "GET /v1.30/containers", "HEAD /info"]) {
    const { status, json } = await request(none, line);
    expect([line, status, json]).toEqual([line, 404, { message: "page not found" }]);
  }
  expect((await request(none, "GET /images/%zz/json")).status).toBe(400);
});

test("slashes in a row are one", async () => {
  const { status, text } = await request(none, "GET //_ping");
  expect([status, text]).toEqual([200, "OK"]);
  expect((await request(none, "GET //v1.41//_ping")).status).toBe(200);
  expect((await request(none, "GET /v1.41//nope")).status).toBe(404);
});

test("every kind of error has its status", async () => {
  const statuses: Record<ErrorKind, number> = {
    invalid: 400,
    unauthorized: 401,
    forbidden: 403,
    "not-found": 404,
    conflict: 409,
    "not-modified": 304,
    "too-many": 429,
    unsupported: 501,
    unavailable: 500,
    "no-space": 500,
    cancelled: 499,
    runtime: 400,
    internal: 500,
  };
  for (const [kind, status] of Object.entries(statuses)) {
    const engine = engineWith({ info: () => Promise.reject(new LighterError(kind as ErrorKind, `a ${kind} sentence`)) });
    const outcome = await request(engine, "GET /info");
    expect(outcome.status).toBe(status);
    if (status !== 304) expect(outcome.json).toEqual({ message: `a ${kind} sentence` });
  }
});

test("names with slashes and escapes reach the handler decoded", async () => {
  const asked: string[] = [];
  const engine = engineWith({
    images: {
      inspect: (reference) => {
        asked.push(reference);
        throw new LighterError("not-found", `No such image: ${reference}`);
      },
    },
  });
  await request(engine, "GET /v1.43/images/localhost:5000/a/b:c/json");
  await request(engine, "GET /v1.43/images/library%2Fbusybox%3Alatest/json");
  await request(engine, "GET /images/json/json");
  expect(asked).toEqual(["localhost:5000/a/b:c", "library/busybox:latest", "json"]);
});

test("bodies: content type, malformed, empty, wrong kinds, any case, nulls", async () => {
  const made: unknown[] = [];
  const engine = engineWith({
    containers: {
      create: (name, body) => {
        made.push([name, body]);
        return Promise.resolve({ id: "1".repeat(64), warnings: [] });
      },
    },
  });
  const create = (body?: string, headers?: Record<string, string>) =>
    request(engine, "POST /v1.56/containers/create?name=web", { ...(body !== undefined && { body }), ...(headers && { headers }) });
  const message = async (body?: string, headers?: Record<string, string>): Promise<string> => {
    const { status, json } = await create(body, headers);
    expect(status).toBe(400);
    return (json as { message: string }).message;
  };
  expect(await message("{}", { "content-type": "text/plain" })).toBe(
    "unsupported Content-Type header (text/plain): must be 'application/json'",
  );
  expect(await message("{nope")).toStartWith("invalid JSON: ");
  expect(await message(" ")).toBe("invalid JSON: got EOF while reading request body");
  expect(await message()).toBe("config cannot be empty in order to create a container");
  expect(await message(`{"HostConfig":{"Memory":"1g"}}`)).toBe(
    "invalid JSON: cannot take a string for HostConfig.Memory: expected a whole number",
  );
  expect(await message(`{"HostConfig":{"Memory":1e30}}`)).toEndWith("expected a whole number");
  expect(await message(`{"Env":{"A":"b"}}`)).toBe("invalid JSON: cannot take an object for Env: expected a list");
  expect(await message(`[1]`)).toBe("invalid JSON: cannot take a list for the body: expected an object");
  const ok = await create(
    `{"image":"busybox","Cmd":"true","Entrypoint":null,"Volumes":null,"HostConfig":{"PortBindings":{"80/tcp":null},"Unknown":1},"NetworkingConfig":{"EndpointsConfig":{"front":null}}}`,
    { "content-type": "application/json; charset=utf-8" },
  );
  expect([ok.status, ok.json]).toEqual([201, { Id: "1".repeat(64), Warnings: [] }]);
  const body = {
    Image: "busybox",
    Cmd: ["true"],
    HostConfig: { PortBindings: {} },
    NetworkingConfig: { EndpointsConfig: { front: {} } },
  };
  expect(made).toEqual([["web", body]]);
});

test("the container-wide MAC address of old clients becomes the endpoint's", async () => {
  let endpoints: unknown;
  const engine = engineWith({
    containers: {
      create: (_name, body) => {
        endpoints = body.NetworkingConfig?.EndpointsConfig;
        return Promise.resolve({ id: "2".repeat(64), warnings: [] });
      },
    },
  });
  const body = JSON.stringify({ Image: "busybox", MacAddress: "02:42:ac:11:00:09", HostConfig: { NetworkMode: "front" } });
  expect((await request(engine, "POST /v1.40/containers/create", { body })).status).toBe(201);
  expect(endpoints).toEqual({ front: { MacAddress: "02:42:ac:11:00:09" } });
  const host = JSON.stringify({ Image: "busybox", MacAddress: "02:42:ac:11:00:09", HostConfig: { NetworkMode: "host" } });
  expect((await request(engine, "POST /v1.40/containers/create", { body: host })).status).toBe(400);
});
