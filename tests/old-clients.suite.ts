/**
 * What Traefik and Portainer ask of an engine, request by request as their public sources show, at the version they speak: 1.24.
 * Deadline: 60 s.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { FrameDecoder } from "../src/wire/stdcopy.ts";
import { Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  const { lighter } = ground;
  await lighter.must("network", "create", "front");
  const labels = ["traefik.enable=true", "traefik.http.routers.web.rule=Host(`web.example`)", "com.docker.compose.project=shop"];
  const check = ["--health-cmd", "true", "--health-interval", "200ms"];
  const words = [
    "run",
    "-d",
    "--name",
    "web",
    "--network",
    "front",
    "--expose",
    "8080",
    ...check,
    ...labels.flatMap((label) => ["-l", label]),
  ];
  await lighter.must(...words, "busybox", "sh", "-c", "echo up; sleep 600");
  await lighter.must("create", "--name", "asleep", "busybox");
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

const AGENT = { "user-agent": "Traefik 3.5" };

/** A request at 1.24 that has to succeed; its JSON. */
async function ask<T>(method: string, path: string, body?: object): Promise<T> {
  const response = await ground.daemon.api(method, path, { version: "1.24", headers: AGENT, ...(body && { body }) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

/** Filters as Go's client writes them from 1.22 on: a set, not a list. */
function filters(values: Record<string, string[]>): string {
  const sets = Object.entries(values).map(([key, list]) => [key, Object.fromEntries(list.map((value) => [value, true]))]);
  return encodeURIComponent(JSON.stringify(Object.fromEntries(sets)));
}

/** The lines of a multiplexed stream, each with its stream before it, sorted. */
function linesOf(bytes: Uint8Array): string[] {
  const lines: string[] = [];
  new FrameDecoder((stream, part) => lines.push(`${stream} ${new TextDecoder().decode(part).trimEnd()}`)).push(bytes);
  return lines.sort();
}

interface Listed {
  Id: string;
  Names: string[];
  State: string;
  Status: string;
  Labels: Record<string, string>;
  Ports: { PrivatePort: number; Type: string }[];
}

interface Inspected {
  Id: string;
  Name: string;
  Config: { Labels: Record<string, string> };
  HostConfig: { NetworkMode: string };
  State: { Running: boolean; Status: string; Health?: { Status: string } };
  NetworkSettings: {
    Ports: Record<string, unknown>;
    Networks: Record<string, { NetworkID: string; IPAddress: string; GlobalIPv6Address: string; Gateway: string }>;
  };
}

test("Traefik: version, containers, each inspected, and what makes a route of them", async () => {
  const version = await ask<{ Version: string; ApiVersion: string }>("GET", "/version");
  expect([version.Version, version.ApiVersion]).toEqual([expect.stringMatching(/^\d+\./), expect.stringMatching(/^1\.\d+$/)]);
  await until("the check passes", async () => (await ask<Inspected>("GET", "/containers/web/json")).State.Health?.Status === "healthy");
  const list = await ask<Listed[]>("GET", "/containers/json?all=1");
  expect(list.map(({ Names }) => Names[0] ?? "").sort()).toEqual(["/asleep", "/web"]);
  for (const { Id } of list) {
    const container = await ask<Inspected>("GET", `/containers/${Id}/json`);
    const { Networks, Ports } = container.NetworkSettings;
    if (container.Name === "/asleep") {
      expect(container.State).toMatchObject({ Running: false, Status: "created" });
      continue;
    }
    expect(container.State).toMatchObject({ Running: true, Status: "running", Health: { Status: "healthy" } });
    expect(container.Config.Labels["traefik.http.routers.web.rule"]).toBe("Host(`web.example`)");
    expect(container.HostConfig.NetworkMode).toBe("front");
    expect(Object.keys(Ports)).toEqual(["8080/tcp"]);
    expect(Networks["front"]?.IPAddress).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect(Networks["front"]?.NetworkID).toMatch(/^[0-9a-f]{64}$/);
    expect(Networks["front"]?.GlobalIPv6Address).toBe("");
  }
});

test("Traefik: hears of starts, ends and health as they happen", async () => {
  const controller = new AbortController();
  const path = `/events?filters=${filters({ type: ["container"] })}`;
  const response = await ground.daemon.api("GET", path, { version: "1.24", headers: AGENT, signal: controller.signal });
  const actions: string[] = [];
  const reading = (async () => {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of response.body ?? []) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines.filter((text) => text !== "")) {
        const event = JSON.parse(line) as { status: string; id: string; from: string; Type: string; Action: string; Actor: { ID: string } };
        expect([event.status, event.id, event.from]).toEqual([event.Action, event.Actor.ID, "busybox"]);
        actions.push(event.Action);
      }
    }
  })().catch((error: unknown) => {
    if (!controller.signal.aborted) throw error;
  });
  await ground.lighter.must(
    "run",
    "-d",
    "--name",
    "short",
    "--health-cmd",
    "true",
    "--health-interval",
    "200ms",
    "busybox",
    "sleep",
    "600",
  );
  await until("health is told", () => Promise.resolve(actions.some((action) => action.startsWith("health_status: healthy"))));
  await ground.lighter.must("rm", "-f", "short");
  await until("the end is told", () => Promise.resolve(actions.includes("destroy")));
  controller.abort();
  await reading;
  const told = actions.filter((action) => !action.startsWith("exec_") && !action.startsWith("health_status"));
  expect(told.filter((action) => action !== "attach")).toEqual(["create", "start", "kill", "die", "destroy"]);
});

test("Portainer: its snapshot of an engine", async () => {
  expect(await (await ground.daemon.api("GET", "/_ping")).text()).toBe("OK");
  const info = await ask<{ ServerVersion: string; NCPU: number; MemTotal: number; Swarm: { ControlAvailable: boolean } }>("GET", "/info");
  expect(info.NCPU).toBeGreaterThan(0);
  expect(info.MemTotal).toBeGreaterThan(0);
  expect(info.Swarm.ControlAvailable).toBe(false);
  const containers = await ask<Listed[]>("GET", "/containers/json?all=1");
  const projects = containers.map(({ Labels }) => Labels["com.docker.compose.project"]).filter((name) => name !== undefined);
  expect(projects).toEqual(["shop"]);
  expect(containers.find(({ Names }) => Names[0] === "/web")?.Status).toMatch(/^Up .*\((healthy|health: starting)\)$/);
  const images = await ask<{ Id: string; RepoTags: string[]; Size: number; VirtualSize: number }[]>("GET", "/images/json");
  expect(images.flatMap(({ RepoTags }) => RepoTags)).toContain("busybox:latest");
  for (const { Size, VirtualSize } of images) expect(VirtualSize).toBe(Size);
  expect(await ask<{ Volumes: unknown[] }>("GET", "/volumes")).toHaveProperty("Volumes");
  const networks = await ask<{ Name: string; Driver: string; Scope: string }[]>("GET", "/networks");
  expect(networks.map(({ Name }) => Name).sort()).toEqual(["bridge", "front", "host", "none"]);
  expect(await ask<{ Os: string }>("GET", "/version")).toMatchObject({ Os: "linux" });
});

test("Portainer: an engine outside of a swarm", async () => {
  for (const path of ["/services", "/nodes", "/tasks", "/swarm", "/secrets", "/configs"]) {
    const version = path === "/configs" || path === "/secrets" ? "1.30" : "1.24";
    const response = await ground.daemon.api("GET", path, { version });
    expect(`${path} ${response.status}`).toBe(`${path} 503`);
    expect(((await response.json()) as { message: string }).message).toContain("This node is not a swarm manager");
  }
});

test("Portainer: a container from its form, looked at, and removed", async () => {
  const body = {
    Image: "busybox:latest",
    Cmd: ["sh", "-c", "echo out; echo err >&2; sleep 600"],
    Env: ["A=b"],
    MacAddress: "",
    ExposedPorts: {},
    Labels: { made: "by a form" },
    OpenStdin: false,
    Tty: false,
    Volumes: {},
    HostConfig: {
      RestartPolicy: { Name: "no" },
      PortBindings: {},
      PublishAllPorts: false,
      Binds: [],
      AutoRemove: false,
      NetworkMode: "bridge",
      Privileged: false,
      ExtraHosts: [],
      Devices: [],
      CapAdd: ["NET_RAW"],
      CapDrop: ["AUDIT_CONTROL"],
      Sysctls: {},
    },
    NetworkingConfig: { EndpointsConfig: { bridge: { IPAMConfig: { IPv4Address: "", IPv6Address: "" } } } },
  };
  const { Id } = await ask<{ Id: string }>("POST", "/containers/create?name=formed", body);
  await ask("POST", `/containers/${Id}/start`);
  const query = "stdout=1&stderr=1&timestamps=0&since=0&tail=100";
  const logs = async (): Promise<string[]> =>
    linesOf(await (await ground.daemon.api("GET", `/containers/${Id}/logs?${query}`, { version: "1.24" })).bytes());
  await until("both lines are there", async () => (await logs()).length === 2);
  expect(await logs()).toEqual(["1 out", "2 err"]);
  const stats = await ask<{ memory_stats: { usage: number }; networks: Record<string, unknown> }>(
    "GET",
    `/containers/${Id}/stats?stream=false`,
  );
  expect(stats.memory_stats.usage).toBeGreaterThan(0);
  expect(Object.keys(stats.networks)).toEqual(["eth0"]);
  expect(await ask<{ Titles: string[]; Processes: string[][] }>("GET", `/containers/${Id}/top`)).toHaveProperty("Titles");
  const exec = await ask<{ Id: string }>("POST", `/containers/${Id}/exec`, {
    AttachStdout: true,
    AttachStderr: true,
    Cmd: ["echo", "here"],
    Tty: false,
  });
  const started = await ground.daemon.api("POST", `/exec/${exec.Id}/start`, { version: "1.24", body: { Detach: true } });
  expect(started.status).toBe(200);
  await ask("POST", `/containers/${Id}/rename?name=renamed`);
  await ask("POST", `/containers/${Id}/update`, { RestartPolicy: { Name: "unless-stopped" } });
  await ask("POST", `/containers/${Id}/restart?t=0`);
  await ask("POST", `/containers/${Id}/kill`);
  expect(await ask<{ StatusCode: number }>("POST", `/containers/${Id}/wait`)).toMatchObject({ StatusCode: 137 });
  const removed = await ground.daemon.api("DELETE", `/containers/${Id}?v=1&force=true`, { version: "1.24" });
  expect(removed.status).toBe(204);
});

test("Portainer: events of a span", async () => {
  const now = Math.floor(Date.now() / 1000);
  const response = await ground.daemon.api("GET", `/events?since=${now - 600}&until=${now + 1}`, { version: "1.24" });
  const types = (await response.text())
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { Type: string }).Type);
  expect(types).toContain("container");
  expect(types).toContain("network");
});
