import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { completeConfig, readConfigFile } from "./config.ts";

test("published-ports names a policy, firewall if nothing is said; another word is refused with what there is", () => {
  const folder = mkdtempSync(join(tmpdir(), "lighter-ports-"));
  const file = join(folder, "daemon.json");
  const read = (value: unknown): unknown => {
    writeFileSync(file, JSON.stringify({ "published-ports": value }));
    return readConfigFile(file, { required: true }).engine.publishedPorts;
  };
  try {
    expect(completeConfig({}).publishedPorts).toBe("firewall");
    for (const policy of ["open", "firewall", "loopback"]) expect(read(policy)).toBe(policy);
    expect(() => read("none")).toThrow('Cannot use "none" for published-ports: "open" lets everybody');
    expect(() => read(true)).toThrow('"published-ports" must be a string');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
