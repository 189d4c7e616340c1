import { describe, expect, test } from "bun:test";
import type { ContainerEdit } from "./containers.ts";
import type { Desired } from "./desired.ts";
import { editedDesired } from "./edit.ts";
import { pendingChanges } from "./running-config.ts";

const BEFORE: Desired = {
  v: 1,
  config: { Env: ["A=1", "B=2", "ALONE"], Labels: { x: "1" }, ExposedPorts: { "80/tcp": {} }, Volumes: { "/anonymous": {} } },
  hostConfig: {
    NetworkMode: "bridge",
    PortBindings: {
      "80/tcp": [
        { HostIp: "", HostPort: "8080" },
        { HostIp: "127.0.0.1", HostPort: "8081" },
      ],
    },
    Binds: ["/src:/dst:ro", "named:/volume"],
    Mounts: [{ Type: "tmpfs", Target: "/tmpfs/" }],
    Tmpfs: { "/scratch": "size=1m" },
  },
  endpoints: {},
  mounts: [mount("bind", "/dst"), mount("volume", "/volume"), mount("tmpfs", "/tmpfs"), mount("volume", "/anonymous")],
  configDigest: "",
  os: "linux",
  warnings: [],
};

function mount(type: "bind" | "volume" | "tmpfs", destination: string): Desired["mounts"][number] {
  return { type, source: "/src", destination, rw: true, mode: "", propagation: "", fromBind: false };
}

const edited = (edit: ContainerEdit): Desired => editedDesired("web", BEFORE, edit);

describe("what a container's configuration becomes by an edit", () => {
  test("nothing of what was is changed in place", () => {
    const before = JSON.stringify(BEFORE);
    edited({ Env: { Set: ["A=9"] }, Labels: { Set: { y: "2" } }, Ports: { Remove: ["80"] }, Mounts: { Remove: ["/dst"] }, Hostname: "h" });
    expect(JSON.stringify(BEFORE)).toBe(before);
  });

  test("variables are set in their place, added at the end, removed by name", () => {
    expect(edited({ Env: { Set: ["B=3", "C=", "ALONE=1"], Remove: ["A"] } }).config.Env).toEqual(["B=3", "ALONE=1", "C="]);
    expect(() => edited({ Env: { Remove: ["NO"] } })).toThrow(
      'Cannot remove environment variable "NO" of container "web": it has none of that name',
    );
    for (const bad of ["NAME", "=x"]) expect(() => edited({ Env: { Set: [bad] } })).toThrow(`Cannot set environment variable "${bad}"`);
  });

  test("a health check is changed in part, made, and ended", () => {
    expect(() => edited({ Healthcheck: { Retries: 2 } })).toThrow(
      'Cannot change the health check of container "web": it has none; name its command (--health-cmd)',
    );
    const checked = edited({ Healthcheck: { Test: ["CMD", "true"], Interval: 5 } });
    expect(checked.config.Healthcheck).toEqual({ Test: ["CMD", "true"], Interval: 5 });
    const { config } = editedDesired("web", checked, { Healthcheck: { Retries: 2 } });
    expect(config.Healthcheck).toEqual({ Test: ["CMD", "true"], Interval: 5, Retries: 2 });
    const ended = editedDesired("web", checked, { Healthcheck: { Test: ["NONE"] } });
    expect(ended.config.Healthcheck).toEqual({ Test: ["NONE"] });
    expect(() => editedDesired("web", ended, { Healthcheck: { Retries: 2 } })).toThrow("it has none");
  });

  test("log options are set and removed by name, not where nothing is kept", () => {
    const logging = edited({ LogOptions: { Set: { "max-size": "1m", "max-file": "3" } } });
    expect(logging.hostConfig.LogConfig?.Config).toEqual({ "max-size": "1m", "max-file": "3" });
    const fewer = editedDesired("web", logging, { LogOptions: { Remove: ["max-file"] } });
    expect(fewer.hostConfig.LogConfig?.Config).toEqual({ "max-size": "1m" });
    expect(() => edited({ LogOptions: { Remove: ["tag"] } })).toThrow(
      'Cannot remove log option "tag" of container "web": it has none of that name',
    );
    const none = { ...BEFORE, hostConfig: { ...BEFORE.hostConfig, LogConfig: { Type: "none" as const } } };
    expect(() => editedDesired("web", none, { LogOptions: { Set: { tag: "x" } } })).toThrow("its log driver is none");
    expect(edited({ PublishAllPorts: true }).hostConfig.PublishAllPorts).toBe(true);
  });

  test("labels", () => {
    expect(edited({ Labels: { Set: { x: "2", y: "" } } }).config.Labels).toEqual({ x: "2", y: "" });
    expect(edited({ Labels: { Remove: ["x"] } }).config.Labels).toEqual({});
    expect(() => edited({ Labels: { Remove: ["no"] } })).toThrow('Cannot remove label "no" of container "web"');
  });

  test.each([
    ["80", {}],
    ["80/tcp", {}],
    ["8080:80", { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8081" }] }],
    ["127.0.0.1:8081:80/TCP", { "80/tcp": [{ HostIp: "", HostPort: "8080" }] }],
  ])("published ports are removed as %s", (spec, left) => {
    expect(edited({ Ports: { Remove: [spec] } }).hostConfig.PortBindings).toEqual(left);
  });

  test("published ports are added once, and refused where there are none of its own", () => {
    const added = edited({ Ports: { Add: { "80": [{ HostIp: "", HostPort: "8080" }], "53/udp": [{ HostIp: "", HostPort: "" }] } } });
    expect(added.hostConfig.PortBindings).toEqual({ ...BEFORE.hostConfig.PortBindings, "53/udp": [{ HostIp: "", HostPort: "" }] });
    expect(Object.keys(added.config.ExposedPorts ?? {})).toEqual(["80/tcp", "53/udp"]);
    for (const spec of ["81", "80/udp", "9090:80"]) expect(() => edited({ Ports: { Remove: [spec] } })).toThrow("it is not published so");
    expect(() => edited({ Ports: { Remove: ["x"] } })).toThrow("the form is [[IP:]HOSTPORT:]PORT[/PROTOCOL]");
    const host = { ...BEFORE, hostConfig: { NetworkMode: "host" } };
    expect(() => editedDesired("web", host, { Ports: { Add: { "80": [] } } })).toThrow(
      'with network mode "host" it has no ports of its own',
    );
  });

  test("mounts are removed wherever they were asked for, and added as of create", () => {
    for (const [place, key] of [
      ["/dst", "Binds"],
      ["/volume/", "Binds"],
      ["/tmpfs", "Mounts"],
      ["/scratch", "Tmpfs"],
      ["/anonymous", "Volumes"],
    ] as const) {
      const { hostConfig, config, mounts } = edited({ Mounts: { Remove: [place] } });
      const where = key === "Volumes" ? config.Volumes : hostConfig[key];
      expect(JSON.stringify(where)).not.toContain(place.replace(/\/$/, ""));
      expect(mounts.map(({ destination }) => destination)).not.toContain(place);
    }
    const { mounts, hostConfig } = edited({ Mounts: { Binds: ["/a:/b:ro", "data:/c"], Mounts: [{ Type: "tmpfs", Target: "/d" }] } });
    expect(mounts.slice(4).map(({ type, destination, rw }) => `${type} ${destination} ${rw}`)).toEqual([
      "bind /b false",
      "volume /c true",
      "tmpfs /d true",
    ]);
    expect(hostConfig.Binds).toEqual(["/src:/dst:ro", "named:/volume", "/a:/b:ro", "data:/c"]);
    expect(() => edited({ Mounts: { Remove: ["/nothing"] } })).toThrow("nothing is mounted there");
    for (const place of ["/dst", "/scratch"])
      expect(() => edited({ Mounts: { Binds: [`/a:${place}`] } })).toThrow(`Duplicate mount point: ${place}`);
    expect(edited({ Mounts: { Remove: ["/dst"], Binds: ["/other:/dst"] } }).mounts.at(-1)?.source).toBe("/other");
  });

  test("what waits for the next start is what differs from the process; a change that is taken back waits no more", () => {
    const running = {
      v: 1 as const,
      config: { Env: BEFORE.config.Env ?? [] },
      hostConfig: { Tmpfs: BEFORE.hostConfig.Tmpfs ?? {} },
      mounts: BEFORE.mounts,
    };
    const later = edited({ Env: { Set: ["A=2"] }, Mounts: { Remove: ["/dst", "/scratch"] } });
    expect(pendingChanges(running, later)).toEqual(["Config.Env", "HostConfig.Tmpfs", "Mounts./dst"]);
    expect(pendingChanges(running, BEFORE)).toEqual([]);
  });
});
