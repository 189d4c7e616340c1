import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PlannedMount } from "./desired.ts";
import { recordEdit } from "./edit-effects.ts";
import { openFixture } from "./fixture.ts";

const root = process.getuid?.() === 0;
const MB = 1 << 20;

describe.skipIf(!root)("an update that the last daemon did not finish", () => {
  test("limits and mounts are as before; nothing of it is left in the database", async () => {
    const first = await openFixture();
    const source = join(first.directory, "source");
    mkdirSync(source);
    writeFileSync(join(source, "here"), "");
    const mount = (destination: string): PlannedMount => ({
      type: "bind",
      source,
      destination,
      rw: true,
      mode: "",
      propagation: "rprivate",
      fromBind: true,
    });
    const { id } = await first.containers.create(
      "web",
      { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig: { NetworkMode: "host", PidsLimit: 77, Binds: [`${source}:/old`] } },
      {},
    );
    await first.containers.start(id);
    const { pid } = first.state.get<{ pid: number }>("SELECT json_extract(task_json, '$.task.init.pid') AS pid FROM containers") ?? {
      pid: 0,
    };
    const inside = (path: string): boolean => existsSync(`/proc/${pid}/root${path}`);
    // As far as a daemon comes that is killed right before its last transaction: the same update, and its rows as they were.
    const before = first.state.get<{ config_json: string }>("SELECT config_json FROM containers")?.config_json ?? "";
    await first.containers.update("web", {
      PidsLimit: 33,
      Memory: 64 * MB,
      MemorySwap: 64 * MB,
      Lighter: { Mounts: { Binds: [`${source}:/new`, "data:/volume"], Remove: ["/old"] } },
    });
    expect([inside("/new/here"), inside("/old/here"), limit(pid, "pids", "pids.max")]).toEqual([true, false, "33"]);
    const [asked = ""] = first.state.all<{ config_json: string }>("SELECT config_json FROM containers").map((row) => row.config_json);
    const volume = (JSON.parse(asked) as { mounts: PlannedMount[] }).mounts.find(({ type }) => type === "volume");
    first.state.write(
      (tx) => {
        tx.run("UPDATE containers SET config_json = ?", before);
        tx.run("DELETE FROM running_configs");
        recordEdit(tx, id, {
          v: 1,
          fields: { PidsLimit: 33, Memory: 64 * MB, MemorySwap: 64 * MB },
          added: [mount("/new"), ...(volume === undefined ? [] : [volume])],
          removed: [mount("/old")],
        });
      },
      { durable: true },
    );
    await first.close();
    const next = await openFixture(first.directory);
    try {
      expect([inside("/new/here"), inside("/old/here")]).toEqual([false, true]);
      expect([limit(pid, "pids", "pids.max"), Number(limit(pid, "memory", "memory.limit_in_bytes")) > 2 ** 50]).toEqual(["77", true]);
      expect(next.state.all("SELECT * FROM effects")).toEqual([]);
      expect(next.state.all("SELECT * FROM volume_references")).toEqual([]);
      const { HostConfig, Mounts } = await next.containers.inspect("web");
      expect([HostConfig?.PidsLimit, HostConfig?.Memory, Mounts?.map(({ Destination }) => Destination)]).toEqual([77, 0, ["/old"]]);
    } finally {
      await next.remove();
    }
  }, 60_000);

  test("of a container that is gone nothing is undone, and nothing is left", async () => {
    const first = await openFixture();
    const { id } = await first.containers.create("web", { Image: "busybox", Cmd: ["true"], HostConfig: { NetworkMode: "host" } }, {});
    first.state.write(
      (tx) => {
        for (const container of [id, "0".repeat(64)]) recordEdit(tx, container, { v: 1, fields: { PidsLimit: 3 }, added: [], removed: [] });
      },
      { durable: true },
    );
    await first.close();
    const next = await openFixture(first.directory);
    expect(next.state.all("SELECT * FROM effects")).toEqual([]);
    await next.remove();
  }, 60_000);
});

/** A limit as the kernel has it: of v1, or of v2's one tree. */
function limit(pid: number, controller: string, file: string): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const path = lines.find(([, names = ""]) => names.split(",").includes(controller))?.[2];
  if (path !== undefined) return readFileSync(`/sys/fs/cgroup/${controller}${path}/${file}`, "utf8").trim();
  const text = readFileSync(`/sys/fs/cgroup${lines[0]?.[2]}/${file.replace("limit_in_bytes", "max")}`, "utf8").trim();
  return text === "max" && controller === "memory" ? String(2 ** 62) : text;
}
