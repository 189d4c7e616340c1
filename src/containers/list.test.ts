import { describe, expect, test } from "bun:test";
import type { ContainerSummary } from "../wire/engine-api.ts";
import type { Desired } from "./desired.ts";
import { goFileMode } from "./file-mode.ts";
import { checkFilters, matchRow, matchSummary } from "./list-filters.ts";
import { portList } from "./port-list.ts";
import { restartDelay, shouldRestart } from "./restart-policy.ts";
import type { ContainerRow } from "./rows.ts";
import { startError, startExitCode } from "./start-error.ts";
import { statusText } from "./status-text.ts";
import { parsePs } from "./top.ts";
import { LighterError } from "../base/errors.ts";

const SECOND = 1_000_000_000n;
const NOW = 1_800_000_000n * SECOND;

function row(more: Partial<ContainerRow> = {}): ContainerRow {
  const desired: Desired = {
    v: 1,
    config: { Image: "busybox", Labels: { a: "1", b: "" } },
    hostConfig: {},
    endpoints: {},
    mounts: [{ type: "volume", source: "vol", destination: "/data", rw: true, mode: "", propagation: "", fromBind: true }],
    configDigest: "",
    os: "linux",
    warnings: [],
  };
  return {
    id: "ab12".padEnd(64, "0"),
    name: "web-1",
    created: NOW - 100n * SECOND,
    desired,
    image: "sha256:1",
    manifest: "sha256:1",
    chainId: undefined,
    runtime: "crun",
    autoRemove: false,
    status: "running",
    started: NOW - 90n * SECOND,
    finished: 0n,
    exitCode: 0,
    error: "",
    oomKilled: false,
    restartCount: 0,
    stoppedByUser: false,
    hasRun: true,
    health: undefined,
    task: undefined,
    log: undefined,
    ...more,
  };
}

describe("status", () => {
  const cases: [Partial<ContainerRow>, string][] = [
    [{}, "Up About a minute"],
    [{ health: { Status: "healthy" } }, "Up About a minute (healthy)"],
    [{ health: { Status: "starting" } }, "Up About a minute (health: starting)"],
    [{ status: "paused" }, "Up About a minute (Paused)"],
    [{ status: "exited", exitCode: 3, finished: NOW - 3n * SECOND }, "Exited (3) 3 seconds ago"],
    [{ status: "stopping", exitCode: 0, finished: NOW }, "Exited (0) Less than a second ago"],
    [{ status: "restarting", exitCode: 1, finished: NOW - 2n * SECOND }, "Restarting (1) 2 seconds ago"],
    [{ status: "created", hasRun: false }, "Created"],
    [{ status: "starting", hasRun: false }, "Created"],
    [{ status: "removing" }, "Removal In Progress"],
    [{ status: "dead" }, "Dead"],
  ];
  for (const [change, text] of cases) test(text, () => expect(statusText(row(change), NOW)).toBe(text));
});

describe("filters", () => {
  const passes = (filters: Record<string, string[]>, change: Partial<ContainerRow> = {}): boolean =>
    matchRow(row(change), new Map(Object.entries(filters)));

  test("of the row", () => {
    expect(passes({ id: ["ab1"] })).toBe(true);
    expect(passes({ id: ["ff"] })).toBe(false);
    expect(passes({ name: ["^/?web"] })).toBe(true);
    expect(passes({ name: ["^/web-1$"] })).toBe(true);
    expect(passes({ name: ["db", "eb-"] })).toBe(true);
    expect(passes({ label: ["a=1", "b"] })).toBe(true);
    expect(passes({ label: ["a=2"] })).toBe(false);
    expect(passes({ status: ["exited"] })).toBe(false);
    expect(passes({ status: ["exited", "running"] })).toBe(true);
    expect(passes({ exited: ["0"] })).toBe(false);
    expect(passes({ exited: ["7"] }, { status: "exited", exitCode: 7, finished: NOW })).toBe(true);
    expect(passes({ health: ["none"] })).toBe(true);
    expect(passes({ volume: ["/data"] })).toBe(true);
    expect(passes({ volume: ["vol"] })).toBe(true);
    expect(passes({ volume: ["other"] })).toBe(false);
    expect(passes({ "is-task": ["false"] })).toBe(true);
    expect(passes({ "is-task": ["true"] })).toBe(false);
  });

  test("of networks and ports", () => {
    const summary: ContainerSummary = {
      NetworkSettings: { Networks: { front: { NetworkID: "c".repeat(64) } } },
      Ports: portList({ "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8080" }], "53/udp": null }),
    };
    const passing = (filters: Record<string, string[]>): boolean => matchSummary(summary, new Map(Object.entries(filters)));
    expect(passing({ network: ["front"] })).toBe(true);
    expect(passing({ network: ["cccccccccccc"] })).toBe(true);
    expect(passing({ network: ["back"] })).toBe(false);
    expect(passing({ publish: ["8080"] })).toBe(true);
    expect(passing({ publish: ["80"] })).toBe(false);
    expect(passing({ expose: ["50-60/udp"] })).toBe(true);
    expect(passing({ expose: ["53"] })).toBe(false);
  });

  test("unknown names and values are refused", () => {
    const check = (key: string, value: string): void => checkFilters(new Map([[key, [value]]]));
    expect(() => check("colour", "red")).toThrow("invalid filter 'colour'");
    expect(() => check("status", "happy")).toThrow("invalid filter 'status=happy'");
    expect(() => check("exited", "x")).toThrow("invalid filter 'exited=x'");
    expect(() => check("health", "well")).toThrow("invalid filter 'health=well'");
    expect(() => check("publish", "http")).toThrow('invalid port specification: "http"');
  });

  test("ports are sorted, one entry a binding", () => {
    expect(
      portList({
        "443/tcp": null,
        "80/tcp": [
          { HostIp: "0.0.0.0", HostPort: "8080" },
          { HostIp: "::", HostPort: "8080" },
        ],
      }),
    ).toEqual([
      { IP: "0.0.0.0", PrivatePort: 80, PublicPort: 8080, Type: "tcp" },
      { IP: "::", PrivatePort: 80, PublicPort: 8080, Type: "tcp" },
      { PrivatePort: 443, Type: "tcp" },
    ]);
  });
});

describe("restart policy", () => {
  test("delays double from 100 ms to a minute and begin anew after ten seconds", () => {
    const delays: number[] = [];
    for (let delay = 0; delays.length < 12;) delays.push((delay = restartDelay(delay, 50)));
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
    expect(restartDelay(51_200, 10_000)).toBe(100);
  });

  test("who is started again", () => {
    const state = { exitCode: 1, restartCount: 2, stoppedByUser: false };
    expect(shouldRestart({ Name: "no" }, state)).toBe(false);
    expect(shouldRestart(undefined, state)).toBe(false);
    expect(shouldRestart({ Name: "always" }, { ...state, stoppedByUser: true })).toBe(true);
    expect(shouldRestart({ Name: "unless-stopped" }, state)).toBe(true);
    expect(shouldRestart({ Name: "unless-stopped" }, { ...state, stoppedByUser: true })).toBe(false);
    expect(shouldRestart({ Name: "on-failure", MaximumRetryCount: 3 }, state)).toBe(true);
    expect(shouldRestart({ Name: "on-failure", MaximumRetryCount: 2 }, state)).toBe(false);
    expect(shouldRestart({ Name: "on-failure" }, { ...state, exitCode: 0 })).toBe(false);
  });
});

describe("small words", () => {
  test("a runtime's refusal reads as Docker's", () => {
    const text = (message: string, program: string): string =>
      (startError(new LighterError("runtime", `OCI runtime create failed: ${message}: unknown`), program, "create") as Error).message;
    const found = text("executable file `x` not found in $PATH: No such file or directory", "x");
    expect(found).toEndWith('exec: "x": executable file not found in $PATH: unknown');
    expect(startExitCode(found)).toBe(127);
    const denied = text("open executable: Permission denied", "/x");
    expect(denied).toEndWith('exec: "/x": permission denied: unknown');
    expect(startExitCode(denied)).toBe(126);
    const other = text("mount `proc`: Device busy", "x");
    expect(other).toBe("OCI runtime create failed: mount `proc`: Device busy: unknown");
    expect(startExitCode(other)).toBe(128);
  });

  test("Go's file modes", () => {
    expect(goFileMode(0o100644)).toBe(0o644);
    expect(goFileMode(0o040755)).toBe(2147484141);
    expect(goFileMode(0o120777)).toBe(134218239);
    expect(goFileMode(0o104755)).toBe(2 ** 23 + 0o755);
    expect(goFileMode(0o020666)).toBe(2 ** 26 + 2 ** 21 + 0o666);
  });

  test("ps tables", () => {
    const text = "UID   PID  CMD\nroot  12  sleep 5\nroot  13  other\n";
    expect(parsePs(text, new Set([12]))).toEqual({ Titles: ["UID", "PID", "CMD"], Processes: [["root", "12", "sleep 5"]] });
    expect(() => parsePs("USER CMD\n", new Set())).toThrow("Couldn't find PID field in ps output");
  });
});
