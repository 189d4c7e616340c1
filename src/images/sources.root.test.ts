import { describe, expect, test } from "bun:test";
import { createServer, type AddressInfo } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostileRegistry } from "../distribution/hostile.suite.ts";
import { failure, layerOf, workshop } from "./workshop.suite.ts";

describe.skipIf(process.getuid?.() !== 0)("the built-in registry stands in for Docker Hub", () => {
  const builtin = { unix: "/nonexistent", has: (repository: string) => repository === "library/hello-world" };

  test.each([
    [401, "UNAUTHORIZED"],
    [404, "MANIFEST_UNKNOWN"],
    [403, "DENIED"],
    [429, "TOOMANYREQUESTS"],
    [503, "UNAVAILABLE"],
  ])(
    "never after an answer: %d",
    async (status, code) => {
      await using hub = await hostileRegistry();
      hub.faults.intercept = (_request, response, path) => {
        if (path === "/v2/") return false;
        response.writeHead(status).end(JSON.stringify({ errors: [{ code, message: "no" }] }));
        return true;
      };
      await using shop = await workshop({ builtin, hub: `http://${hub.host}` });
      const error = await failure(shop.images.pull("hello-world", { progress: shop.progress }));
      expect(error.message).not.toContain("nonexistent");
      expect(error.message).toContain("no");
      expect(shop.messages).toEqual([]);
    },
    60_000,
  );

  test("after at most three seconds of silence, which is remembered", async () => {
    let connections = 0;
    const mute = createServer(() => void connections++).listen(0, "127.0.0.1");
    while (mute.address() === null) await Bun.sleep(5);
    await using other = await hostileRegistry();
    const image = other.addImage("library/hello-world", "latest", [layerOf({ hello: "1" })]);
    await using relay = await unixRelay(other.host);
    await using shop = await workshop({
      builtin: { ...builtin, unix: relay.path },
      hub: `http://127.0.0.1:${(mute.address() as AddressInfo).port}`,
    });
    const start = performance.now();
    await shop.images.pull("hello-world", { progress: shop.progress });
    expect(performance.now() - start).toBeLessThan(10_000);
    await shop.images.pull("hello-world", { progress: shop.progress });
    expect(connections).toBe(1);
    expect(shop.messages[0]).toEqual({ status: "Pulling from library/hello-world", id: "latest" });
    expect(shop.messages[1]?.status).toContain("Docker Hub cannot be reached");
    expect((await shop.images.runnable("hello-world")).id).toBe(image.digest);
    // What the built-in registry does not have is Docker Hub's alone.
    expect((await failure(shop.images.pull("busybox", { progress: shop.progress, signal: AbortSignal.timeout(200) }))).kind).toBe(
      "cancelled",
    );
    mute.close();
  }, 60_000);
});

/** A unix socket in front of a server on loopback. */
async function unixRelay(host: string): Promise<AsyncDisposable & { path: string }> {
  const folder = await mkdtemp(join(tmpdir(), "lighter-relay-"));
  const path = join(folder, "socket");
  const server = Bun.serve({
    unix: path,
    fetch: (request) =>
      fetch(`http://${host}${new URL(request.url).pathname}`, { method: request.method, headers: request.headers, proxy: false }),
  });
  return {
    path,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      await rm(folder, { recursive: true });
    },
  };
}
