import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import type { Reader } from "../state/state.ts";
import { State } from "../state/state.ts";
import { insertNetwork } from "./rows.ts";
import { summaries } from "./settings.ts";

test("what many containers have in common is read once", () => {
  const directory = mkdtempSync("/tmp/lighter-settings-");
  const state = new State(`${directory}/state.db`);
  try {
    const config = { v: 1, internal: false, attachable: false, enableIPv4: true, enableIPv6: false } as const;
    const ipam = { driver: "default", options: {}, config: [{ subnet: "172.17.0.0/16", gateway: "172.17.0.1" }] };
    const id = "ab".repeat(32);
    state.write(
      (tx) =>
        insertNetwork(tx, {
          id,
          name: "bridge",
          driver: "bridge",
          created: 1n,
          bridge: "lighter0",
          config: { ...config, ipam, options: {}, labels: {} },
        }),
      { durable: false },
    );
    let reads = 0;
    const counting: Reader = {
      get: (sql, ...values) => (reads++, state.get(sql, ...values)),
      all: (sql, ...values) => (reads++, state.all(sql, ...values)),
    };
    const look = summaries(counting);
    const one = look("1".repeat(64), { mode: "default", endpoints: {} });
    expect(one.networks["bridge"]).toMatchObject({ NetworkID: id, IPAddress: "" });
    const first = reads;
    for (let n = 2; n < 12; n++) expect(look(String(n).padStart(64, "0"), { mode: "default", endpoints: {} })).toEqual(one);
    // A container's own endpoints are all that is left to read.
    expect(reads - first).toBe(10);
  } finally {
    state.close();
    rmSync(directory, { recursive: true });
  }
});
