/** Every answer of the Engine API is what its definition says; versions are negotiated as Docker does. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox", "layered"]);
  const { lighter } = ground;
  await lighter.must(
    "run",
    "-d",
    "--name",
    "full",
    "--label",
    "a=b",
    "-e",
    "X=1",
    "-p",
    "127.0.0.1::80",
    "-v",
    "named:/named",
    "-v",
    "/anonymous",
    "--memory",
    "64m",
    "--restart",
    "always",
    "busybox",
    "sleep",
    "600",
  );
  await lighter.must("run", "--name", "ended", "busybox", "sh", "-c", "echo out; exit 3").catch(() => "");
  await lighter.must("create", "--name", "created", "-it", "--network", "none", "layered");
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

const READS: Record<string, string> = {
  version: "/version",
  info: "/info",
  "containers, all": "/containers/json?all=1",
  "containers with sizes": "/containers/json?all=1&size=1",
  "a running container": "/containers/full/json?size=1",
  "an ended container": "/containers/ended/json",
  "a created container": "/containers/created/json",
  top: "/containers/full/top",
  changes: "/containers/ended/changes",
  images: "/images/json?digests=1",
  "images with manifests": "/images/json?manifests=1&all=1",
  "an image": "/images/busybox/json",
  "an image with manifests": "/images/layered/json?manifests=1",
  history: "/images/layered/history",
  networks: "/networks",
  "the bridge": "/networks/bridge",
  "the bridge, verbose": "/networks/bridge?verbose=true",
  volumes: "/volumes",
  "a volume": "/volumes/named",
  "disk usage": "/system/df",
};

for (const [what, path] of Object.entries(READS)) {
  test(`${what} is as defined`, async () => {
    expect(await ground.daemon.json("GET", path)).toBeDefined();
  });
}

test("writes answer as defined, from create to remove", async () => {
  const { daemon } = ground;
  const created = await daemon.json<{ Id: string; Warnings: string[] }>("POST", "/containers/create?name=written", {
    body: { Image: "busybox", Cmd: ["sleep", "600"] },
  });
  expect(created.Warnings).toEqual([]);
  expect((await daemon.api("POST", "/containers/written/start")).status).toBe(204);
  expect((await daemon.api("POST", "/containers/written/start")).status).toBe(304);
  const { Id } = await daemon.json<{ Id: string }>("POST", "/containers/written/exec", { body: { Cmd: ["true"], AttachStdout: true } });
  await daemon.json("GET", `/exec/${Id}/json`);
  expect((await daemon.api("POST", "/containers/written/rename?name=renamed")).status).toBe(204);
  expect((await daemon.api("POST", "/containers/renamed/kill?signal=KILL")).status).toBe(204);
  expect(await daemon.json<{ StatusCode: number }>("POST", "/containers/renamed/wait")).toMatchObject({ StatusCode: 137 });
  expect((await daemon.api("POST", "/containers/renamed/stop")).status).toBe(304);
  expect((await daemon.api("POST", "/containers/renamed/restart?t=0")).status).toBe(204);
  expect((await daemon.api("DELETE", "/containers/renamed")).status).toBe(409);
  expect((await daemon.api("DELETE", "/containers/renamed?force=1")).status).toBe(204);
  await daemon.json("POST", "/volumes/create", { body: { Name: "written" } });
  expect((await daemon.api("DELETE", "/volumes/written")).status).toBe(204);
});

test("filters of the container list", async () => {
  const names = async (filters: Record<string, string[]>): Promise<string[]> => {
    const list = await ground.daemon.json<{ Names: string[] }[]>(
      "GET",
      `/containers/json?all=1&filters=${encodeURIComponent(JSON.stringify(filters))}`,
    );
    return list.map(({ Names }) => Names[0] ?? "").sort();
  };
  expect(await names({ status: ["running"] })).toEqual(["/full"]);
  expect(await names({ status: ["exited", "created"] })).toEqual(["/created", "/ended"]);
  expect(await names({ exited: ["3"] })).toEqual(["/ended"]);
  expect(await names({ label: ["a=b"] })).toEqual(["/full"]);
  expect(await names({ label: ["a=c"] })).toEqual([]);
  expect(await names({ name: ["^/?f"] })).toEqual(["/full"]);
  expect(await names({ ancestor: ["layered"] })).toEqual(["/created"]);
  expect(await names({ volume: ["named"] })).toEqual(["/full"]);
  expect(await names({ network: ["none"] })).toEqual(["/created"]);
  expect(await names({ expose: ["80"] })).toEqual(["/full"]);
  expect(await names({ publish: ["80"] })).toEqual([]); // the host's port is another one
  expect(await names({ since: ["full"] })).toEqual(["/created", "/ended"]);
  expect(await names({ before: ["ended"] })).toEqual(["/full"]);
  expect(await names({ "is-task": ["true"] })).toEqual([]);
});

test("fields of old clients that the newest version does not define are taken and not shown", async () => {
  const { daemon } = ground;
  const mac = "02:42:ac:11:00:77";
  const HostConfig = { NetworkMode: "bridge", KernelMemory: 67_108_864, KernelMemoryTCP: 1 };
  const body = { Image: "busybox", MacAddress: mac, HostConfig };
  const { Id } = await daemon.json<{ Id: string }>("POST", "/containers/create?name=aged", { version: "1.41", body });
  interface Shown {
    Config: { MacAddress?: string };
    HostConfig: object;
    NetworkSettings: { Networks: Record<string, { MacAddress: string }> };
  }
  for (const version of ["1.56", "1.44", "1.43"]) {
    const shown = (await (await daemon.api("GET", `/containers/${Id}/json`, { version })).json()) as Shown;
    expect(shown.HostConfig).not.toHaveProperty("KernelMemory");
    expect(shown.HostConfig).not.toHaveProperty("KernelMemoryTCP");
    expect(shown.NetworkSettings.Networks["bridge"]?.MacAddress).toBe(mac);
    expect(shown.Config.MacAddress).toBe(version === "1.56" ? undefined : mac);
  }
  await daemon.api("DELETE", `/containers/${Id}`);
});

test("disk usage: old clients count and add up what new ones are told", async () => {
  const { daemon } = ground;
  interface Usage {
    [kind: `${string}Usage`]: { ActiveCount: number; TotalCount: number; TotalSize: number };
  }
  interface OldUsage {
    LayersSize: number;
    Images: { Containers: number; Size: number; SharedSize: number }[];
    Containers: { State: string; SizeRw: number }[];
    Volumes: { Name: string; UsageData: { RefCount: number; Size: number } }[];
    BuildCache: unknown[];
  }
  const fresh = await daemon.json<Usage>("GET", "/system/df");
  const old = (await (await daemon.api("GET", "/system/df", { version: "1.41" })).json()) as OldUsage;
  expect(old.LayersSize).toBe(fresh["ImageUsage"]?.TotalSize ?? -1);
  expect([old.Images.length, old.Images.filter(({ Containers }) => Containers > 0).length]).toEqual([
    fresh["ImageUsage"]?.TotalCount ?? -1,
    fresh["ImageUsage"]?.ActiveCount ?? -1,
  ]);
  expect(old.Images.reduce((sum, { Containers }) => sum + Containers, 0)).toBe(old.Containers.length);
  expect([old.Containers.length, old.Containers.filter(({ State }) => State === "running").length]).toEqual([3, 1]);
  expect([fresh["ContainerUsage"]?.TotalCount, fresh["ContainerUsage"]?.ActiveCount]).toEqual([3, 1]);
  expect(old.Volumes.find(({ Name }) => Name === "named")?.UsageData.RefCount).toBe(1);
  // What a client of old calls reclaimable: everything but the images in use.
  const used = old.Images.filter(({ Containers }) => Containers > 0).reduce((sum, { Size, SharedSize }) => sum + Size - SharedSize, 0);
  expect(old.LayersSize - used).toBeGreaterThanOrEqual(0);
});

test("disk usage: a container between two runs is in use", async () => {
  const { daemon, lighter } = ground;
  const active = async (): Promise<number | undefined> =>
    (await daemon.json<{ ContainerUsage?: { ActiveCount?: number } }>("GET", "/system/df?type=container")).ContainerUsage?.ActiveCount;
  const before = await active();
  await lighter.must("run", "-d", "--name", "again", "--restart", "always", "busybox", "false");
  // From the fourth on the pauses are long enough to look at one.
  await until("a pause", async () => {
    const { RestartCount, State } = await daemon.json<{ RestartCount: number; State: { Status: string } }>("GET", "/containers/again/json");
    return RestartCount >= 4 && State.Status === "restarting";
  });
  expect(await active()).toBe((before ?? 0) + 1);
  await lighter.must("rm", "-f", "again");
});

test("ping tells the newest version without one in the path, HEAD likewise", async () => {
  for (const method of ["GET", "HEAD"]) {
    const response = await ground.daemon.api(method, "/_ping");
    expect(response.status).toBe(200);
    expect(response.headers.get("api-version")).toBe("1.56");
    expect(response.headers.get("ostype")).toBe("linux");
    expect(response.headers.get("builder-version")).toMatch(/^[12]$/);
    expect(response.headers.get("docker-experimental")).toBe("false");
    expect(response.headers.get("cache-control")).toBe("no-cache, no-store, must-revalidate");
    expect(await response.text()).toBe(method === "GET" ? "OK" : "");
  }
});

for (const version of ["1.24", "1.30", "1.41", "1.44", "1.51", "1.56"]) {
  test(`version ${version} is served`, async () => {
    const list = await ground.daemon.api("GET", "/containers/json", { version });
    expect(list.status).toBe(200);
    expect(list.headers.get("api-version")).toBe("1.56");
    const container = (await (await ground.daemon.api("GET", "/containers/full/json", { version })).json()) as {
      NetworkSettings: { IPAddress?: string };
    };
    if (Number(version.slice(2)) < 50) expect(container.NetworkSettings.IPAddress).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
  });
}

test("too old and too new versions are refused with Docker's texts", async () => {
  const message = async (version: string): Promise<string> => (await ground.daemon.failure("GET", "/version", { version })).message;
  expect(await message("1.57")).toBe("client version 1.57 is too new. Maximum supported API version is 1.56");
  expect(await message("1.12")).toBe(
    "client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
  );
});

test("events stream as they happen and are kept", async () => {
  const { daemon, lighter } = ground;
  const since = Date.now() / 1000 - 0.5;
  const controller = new AbortController();
  const response = await daemon.api("GET", `/events?since=${since}&filters=${encodeURIComponent('{"container":["eventful"]}')}`, {
    signal: controller.signal,
  });
  const decoder = new TextDecoder();
  let text = "";
  const reading = (async () => {
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk);
  })().catch(() => undefined);
  await lighter.must("run", "--rm", "--name", "eventful", "busybox", "true");
  await until("the last event is told", () => text.includes('"destroy"'));
  controller.abort();
  await reading;
  const events = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { Type: string; Action: string; timeNano: number; Actor: { Attributes: Record<string, string> } });
  const actions = events.filter(({ Type }) => Type === "container").map(({ Action }) => Action);
  expect(actions).toEqual(["create", "attach", "start", "die", "destroy"]);
  expect(events.find(({ Action }) => Action === "die")?.Actor.Attributes).toMatchObject({
    name: "eventful",
    image: "busybox",
    exitCode: "0",
  });
  const times = events.map(({ timeNano }) => timeNano);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
});

test("what was not given is null, what was given empty is empty, as with dockerd", async () => {
  const { daemon } = ground;
  const { Id } = await daemon.json<{ Id: string }>("POST", "/containers/create", { version: "1.41", body: { Image: "busybox" } });
  const { HostConfig, Config } = await daemon.json<{ HostConfig: Record<string, unknown>; Config: object }>(
    "GET",
    `/containers/${Id}/json`,
  );
  for (const field of ["Binds", "PortBindings", "Dns", "DnsOptions", "DnsSearch", "Devices", "Ulimits", "CapAdd", "BlkioWeightDevice"])
    expect([field, HostConfig[field]]).toEqual([field, null]);
  expect(Config).not.toHaveProperty("MacAddress");
  expect(await daemon.json("GET", `/containers/${Id}/changes`)).toBeNull();
  await daemon.api("DELETE", `/containers/${Id}`);
  expect(await daemon.json("POST", "/volumes/create", { body: { Name: "bare" } })).toMatchObject({ Labels: null, Options: null });
  const given = { Name: "given", Labels: {}, DriverOpts: {} };
  expect(await daemon.json("POST", "/volumes/create", { body: given })).toMatchObject({ Labels: {}, Options: {} });
  for (const name of ["bare", "given"]) await daemon.api("DELETE", `/volumes/${name}`);
  expect(await daemon.json("POST", "/networks/prune")).toEqual({ NetworksDeleted: null });
  expect(await daemon.json("POST", `/containers/prune?filters=${encodeURIComponent('{"label":["none"]}')}`)).toEqual({
    ContainersDeleted: null,
    SpaceReclaimed: 0,
  });
});
