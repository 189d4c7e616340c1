import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openContent } from "../content/open.ts";
import { State } from "../state/state.ts";
import { openRegistry } from "./open.ts";
import { REGISTRY_ROOTS } from "./rows.ts";
import { shippedImages } from "./shipped.ts";

async function skopeo(...args: string[]): Promise<string> {
  const child = Bun.spawn(["skopeo", ...args], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(`skopeo ${args.join(" ")}: ${err}`);
  return out.trim();
}

test.skipIf(Bun.which("skopeo") === null)(
  "skopeo pulls from the built-in registry, pushes to it, and all digests stay",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "lighter-skopeo-"));
    const state = new State(join(folder, "state.db"));
    const content = await openContent({ dataRoot: folder, state, roots: [REGISTRY_ROOTS] });
    const registry = await openRegistry({ state, content, socket: join(folder, "registry.sock"), shipped: shippedImages });
    // skopeo speaks TCP only: a relay stands before the socket.
    const relay = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        const body = request.body === null ? {} : { body: await request.bytes() };
        return fetch(`http://registry${pathname}${search}`, {
          method: request.method,
          headers: request.headers,
          unix: registry.unix,
          ...body,
        });
      },
    });
    const ours = `docker://127.0.0.1:${relay.port}`;
    const image = (await shippedImages())[0];
    const insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"];

    await skopeo("copy", "-q", "--all", ...insecure, `${ours}/library/hello-world:latest`, `${ours}/copied/by-skopeo:1`);
    await skopeo("copy", "-q", "--all", "--src-tls-verify=false", `${ours}/copied/by-skopeo:1`, `oci-archive:${folder}/image.tar:1`);
    await skopeo(
      "copy",
      "-q",
      "--all",
      "--preserve-digests",
      "--dest-tls-verify=false",
      `oci-archive:${folder}/image.tar:1`,
      `${ours}/back:1`,
    );
    for (const name of ["copied/by-skopeo:1", "back:1"]) {
      const raw = await skopeo("inspect", "--raw", "--tls-verify=false", `${ours}/${name}`);
      expect(new Bun.CryptoHasher("sha256").update(raw).digest("hex")).toBe(image?.index.slice(7) ?? "");
    }
    await skopeo("delete", "--tls-verify=false", `${ours}/back:1`);
    const tags = await fetch("http://registry/v2/back/tags/list", { unix: registry.unix });
    expect(await tags.json()).toEqual({ name: "back", tags: [] });

    await relay.stop(true);
    await registry[Symbol.asyncDispose]();
    state.close();
    await rm(folder, { recursive: true });
  },
  60_000,
);
