import { expect, test } from "bun:test";
import { join } from "node:path";
import { engineWith, request } from "./api.fixture.ts";
import { makeRouter } from "./router.ts";
import { ROUTES } from "./routes.ts";

const reference = (await Bun.file(join(import.meta.dir, "../../reference/engine-api.json")).json()) as {
  paths: Record<string, Record<string, { responses: Record<string, unknown> }>>;
};
const operations = Object.entries(reference.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, { responses }]) => ({ method: method.toUpperCase(), path, statuses: Object.keys(responses) })),
);

test("every operation of the Engine API has a route of its own name", () => {
  const find = makeRouter(ROUTES);
  const missing = operations.flatMap(({ method, path }) => {
    const route = find(method, path.replaceAll(/\{[^}]+\}/g, "thing"))?.route;
    const plain = route?.path.replaceAll(/:(\w+)(?:\{[^}]*\})?/g, "{$1}");
    return plain === path ? [] : [`${method} ${path} goes to ${route?.path ?? "nothing"}`];
  });
  expect(operations.length).toBe(108);
  expect(missing).toEqual([]);
});

test("a container may be called by a link's name, whose slashes are a part of it", () => {
  const find = makeRouter(ROUTES);
  const found = (line: string): unknown[] => {
    const [method = "", path = ""] = line.split(" ");
    const match = find(method, path);
    return [match?.route.path, match?.params];
  };
  expect(found("GET /containers/web/db/json")).toEqual(["/containers/:id/json", { id: "web/db" }]);
  expect(found("GET /containers/web/a/b/attach/ws")).toEqual(["/containers/:id/attach/ws", { id: "web/a/b" }]);
  expect(found("DELETE /containers/web/db")).toEqual(["/containers/:id", { id: "web/db" }]);
  expect(found("DELETE /containers/web/db/checkpoints/one")).toEqual([
    "/containers/:id/checkpoints/:checkpoint",
    { id: "web/db", checkpoint: "one" },
  ]);
  expect(found("GET /containers/web/nothing")).toEqual([undefined, undefined]);
  expect(found("PUT /volumes/a/b/c")).toEqual([undefined, undefined]);
});

test("what needs a swarm answers as a node outside of one", async () => {
  for (const { method, path, statuses } of operations) {
    if (!/^\/(?:nodes|services|tasks|secrets|configs|swarm)/.test(path)) continue;
    const { status, json } = await request(engineWith({}), `${method} ${path.replaceAll(/\{[^}]+\}/g, "thing")}`);
    expect([path, status]).toEqual([path, 503]);
    expect(statuses).toContain("503");
    expect((json as { message: string }).message).toMatch(/swarm/);
  }
});

test("what the API does not have is no page, in a swarm or not", async () => {
  for (const line of ["POST /nodes/create", "DELETE /tasks/x", "POST /tasks/x/update", "GET /secrets/x/logs", "GET /configs/x/logs"])
    expect((await request(engineWith({}), line)).json).toEqual({ message: "page not found" });
});

test("what is not there yet says so", async () => {
  const engine = engineWith({});
  expect((await request(engine, "GET /plugins")).json).toEqual([]);
  expect((await request(engine, "GET /plugins/x/y:z/json")).json).toEqual({ message: 'plugin "x/y:z" not found' });
  for (const line of ["POST /build", "POST /session"]) {
    expect((await request(engine, line)).status).toBe(501);
  }
});
