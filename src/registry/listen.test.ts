import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listenUnix } from "./listen.ts";

/** It has to wait for what Bun would do. */
const patient = test.skipIf(process.env["LIGHTER_TEST_FULL"] !== "1");

patient(
  "an answer over the unix socket may take longer than Bun's ten seconds, as that of a large collection does",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "lighter-listen-"));
    const unix = join(folder, "s");
    const listener = listenUnix(unix, async () => {
      await Bun.sleep(14_000);
      return new Response("done");
    });
    try {
      expect(await (await fetch("http://registry/", { unix })).text()).toBe("done");
    } finally {
      await listener.stop(0);
      await rm(folder, { recursive: true, force: true });
    }
  },
  60_000,
);
