import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App } from "./app.ts";
import { execAtOnce } from "./exec-at-once.ts";
import { runAtOnce, type RunFlags } from "./run-at-once.ts";

const FLAGS: RunFlags = {
  name: "",
  platform: "",
  rm: false,
  pull: "missing",
  tty: false,
  cidfile: "",
  "detach-keys": "",
  "sig-proxy": true,
};

test("where nobody listens, the requests one by one get their turn", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lighter-at-once-"));
  try {
    const tls = { tls: false, tlscacert: "", tlscert: "", tlskey: "", tlsverify: false };
    const app = new App("lighter", { config: folder, context: "", debug: false, host: [`unix://${folder}/s`], "log-level": "", ...tls });
    expect(await runAtOnce(app, FLAGS, { Image: "busybox", AttachStdout: true })).toBeUndefined();
    expect(await execAtOnce(app, "web", { Cmd: ["true"] })).toBeUndefined();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
