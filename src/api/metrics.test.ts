import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { metricsAddress } from "./metrics.ts";
import type { Containers } from "../containers/containers.ts";
import type { Networks } from "../networks/networks.ts";
import { appendEvent } from "../state/events.ts";
import { State } from "../state/state.ts";
import { EngineMetrics } from "../engine/metrics.ts";

/** The values of a text for Prometheus, by name and labels. */
function valuesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}

test("what is counted, timed and read, by dockerd's names", async () => {
  const folder = mkdtempSync("/tmp/lighter-metrics-");
  const state = new State(join(folder, "state.db"));
  try {
    const event = (): void =>
      state.write((tx) => appendEvent(tx, { type: "container", action: "x", actor: "y", attributes: {} }), { durable: false });
    event();
    const metrics = await EngineMetrics.open();
    const face = {
      create: () => Promise.resolve({ id: "1", warnings: [] }),
      start: () => Promise.reject(new Error("no")),
      counts: () => ({ running: 2, paused: 1, stopped: 7 }),
      healthChecks: () => ({ total: 5, failed: 3 }),
    } as unknown as Containers;
    const containers = metrics.timedContainers(face);
    const networks = metrics.timedNetworks({ leave: () => Promise.resolve() } as unknown as Networks);
    metrics.watch({ state, containers, listeners: () => 4, driver: "overlayfs" });
    await containers.create(undefined, {}, {});
    const failed = await containers.start("x").then(
      () => false,
      () => true,
    );
    expect(failed).toBe(true);
    await networks.leave("x");
    event();
    event();
    for (const _again of [1, 2]) {
      const { text, type } = await metrics.text();
      expect(type).toContain("version=0.0.4");
      const values = valuesOf(text);
      expect(Object.fromEntries(values)).toMatchObject({
        'engine_daemon_container_actions_seconds_count{action="create"}': 1,
        'engine_daemon_container_actions_seconds_count{action="start"}': 0,
        'engine_daemon_network_actions_seconds_count{action="release"}': 1,
        'engine_daemon_container_states_containers{state="running"}': 2,
        'engine_daemon_container_states_containers{state="paused"}': 1,
        'engine_daemon_container_states_containers{state="stopped"}': 7,
        engine_daemon_events_subscribers_total: 4,
        engine_daemon_events_total: 2,
        engine_daemon_health_checks_total: 5,
        engine_daemon_health_checks_failed_total: 3,
      });
      expect(text).toMatch(
        /^engine_daemon_engine_info\{architecture="[^"]+",commit="[^"]*",daemon_id="[^"]+",graphdriver="overlayfs",.*\} 1$/m,
      );
      for (const name of ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"])
        expect(values.get(name)).toBeGreaterThan(0);
    }
  } finally {
    state.close();
    rmSync(folder, { recursive: true });
  }
});

test("where metrics are served", () => {
  expect(metricsAddress("127.0.0.1:9323")).toEqual({ kind: "tcp", hostname: "127.0.0.1", port: 9323 });
  expect(metricsAddress(":9323")).toEqual({ kind: "tcp", hostname: "0.0.0.0", port: 9323 });
  expect(metricsAddress("[::1]:9323")).toEqual({ kind: "tcp", hostname: "::1", port: 9323 });
  for (const wrong of ["9323", "x:y", "x:99999", "tcp://x:1"])
    expect(() => metricsAddress(wrong)).toThrow(`Cannot serve metrics on "${wrong}": expected HOST:PORT`);
});
