import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RuntimeSpec } from "../oci/spec.ts";
import type { DeviceRequest } from "../wire/engine-api.ts";
import { readCdiDevices } from "./cdi-spec.ts";
import { deviceEditOf } from "./device-requests.ts";

let root = "";
let directories: string[] = [];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "cdi-"));
  directories = [join(root, "etc"), join(root, "run")];
  for (const directory of directories) await mkdir(directory);
  await writeFile(
    join(root, "etc/vendor.json"),
    JSON.stringify({
      cdiVersion: "0.6.0",
      kind: "vendor.com/class",
      containerEdits: { env: ["SHARED=1"], hooks: [{ hookName: "createContainer", path: "/bin/hook", args: ["hook"] }] },
      devices: [
        { name: "old", containerEdits: { env: ["WHICH=old"] } },
        {
          name: "zero",
          containerEdits: {
            env: ["WHICH=zero", "PATH=/vendor"],
            deviceNodes: [
              { path: "/dev/vendor0", hostPath: "/dev/zero", permissions: "rw" },
              { path: "/dev/made", type: "c", major: 7, minor: 9 },
            ],
            mounts: [{ hostPath: "/lib", containerPath: "/data", options: ["ro", "nosuid"] }],
            additionalGids: [44],
          },
        },
      ],
    }),
  );
  await writeFile(
    join(root, "run/vendor.yaml"),
    'cdiVersion: "0.6.0"\nkind: vendor.com/class\ndevices:\n  - name: old\n    containerEdits: {env: ["WHICH=new"]}\n',
  );
  await writeFile(join(root, "run/bad.json"), "{");
  await writeFile(
    join(root, "run/nvidia.yaml"),
    'cdiVersion: "0.6.0"\nkind: nvidia.com/gpu\ndevices: [{name: "0", containerEdits: {env: ["GPU=0"]}}, {name: all, containerEdits: {env: ["GPU=all"]}}]\n',
  );
});
afterAll(async () => await rm(root, { recursive: true, force: true }));

function emptySpec(): RuntimeSpec {
  return {
    ociVersion: "1.0.2",
    process: { user: { uid: 0, gid: 0 }, args: ["true"], env: ["PATH=/bin", "A=1"], cwd: "/" },
    root: { path: "" },
    mounts: [{ destination: "/proc" }, { destination: "/data" }, { destination: "/data/below" }],
    linux: { namespaces: [], resources: { devices: [{ allow: false, access: "rwm" }] } },
  };
}

async function edited(request: DeviceRequest, hook: string | null = null): Promise<RuntimeSpec> {
  const spec = emptySpec();
  (await deviceEditOf({ DeviceRequests: [request] }, { directories, hook }))?.(spec);
  return spec;
}

test("a described device: variables, nodes with their rules, mounts, hooks and groups", async () => {
  const spec = await edited({ Driver: "cdi", DeviceIDs: ["vendor.com/class=zero"] });
  expect(spec.process.env).toEqual(["PATH=/vendor", "A=1", "SHARED=1", "WHICH=zero"]);
  expect(spec.process.user.additionalGids).toEqual([44]);
  expect(spec.linux.devices).toEqual([
    { path: "/dev/vendor0", type: "c", major: 1, minor: 5 },
    { path: "/dev/made", type: "c", major: 7, minor: 9 },
  ]);
  expect(spec.linux.resources?.devices).toEqual([
    { allow: false, access: "rwm" },
    { allow: true, type: "c", major: 1, minor: 5, access: "rw" },
    { allow: true, type: "c", major: 7, minor: 9, access: "rwm" },
  ]);
  expect(spec.mounts.map(({ destination }) => destination)).toEqual(["/proc", "/data", "/data/below"]);
  expect(spec.mounts[1]).toEqual({ destination: "/data", source: "/lib", type: "bind", options: ["ro", "nosuid", "rbind"] });
  expect(spec.hooks).toEqual({ createContainer: [{ path: "/bin/hook", args: ["hook"] }] });
});

test("a later directory counts more, a file that is none is left out", async () => {
  expect((await edited({ Driver: "cdi", DeviceIDs: ["vendor.com/class=old"] })).process.env).toContain("WHICH=new");
  expect((await readCdiDevices(directories)).names()).toEqual([
    "nvidia.com/gpu=0",
    "nvidia.com/gpu=all",
    "vendor.com/class=old",
    "vendor.com/class=zero",
  ]);
});

test("devices that nobody describes, and drivers that are not here", async () => {
  const fails = async (request: DeviceRequest, text: string): Promise<void> => {
    await expect(edited(request)).rejects.toThrow(text);
  };
  await fails(
    { Driver: "cdi", DeviceIDs: ["a.com/b=c", "a.com/b=d"] },
    "CDI device injection failed: unresolvable CDI devices a.com/b=c, a.com/b=d",
  );
  await fails({ Driver: "other", Capabilities: [["gpu"]] }, 'could not select device driver "other" with capabilities: [[gpu]]');
  await fails({ Capabilities: [["tpu"]], Count: -1 }, 'could not select device driver "" with capabilities: [[tpu]]');
  await fails({ Capabilities: [["gpu"]], Count: 1, DeviceIDs: ["0"] }, "cannot set both Count and DeviceIDs on device request");
});

test("--gpus with NVIDIA's hook: variables and a prestart hook", async () => {
  const spec = await edited({ Count: -1, Capabilities: [["gpu", "utility"]] }, "/usr/bin/nvidia-container-runtime-hook");
  expect(spec.process.env.slice(2)).toEqual(["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=utility"]);
  expect(spec.hooks?.["prestart"]?.[0]).toMatchObject({
    path: "/usr/bin/nvidia-container-runtime-hook",
    args: ["nvidia-container-runtime-hook", "prestart"],
  });
  const visible = async (request: DeviceRequest): Promise<string | undefined> =>
    (await edited({ Capabilities: [["gpu"]], ...request }, "/hook")).process.env[2];
  expect(await visible({ Count: 2 })).toBe("NVIDIA_VISIBLE_DEVICES=0,1");
  expect(await visible({ DeviceIDs: ["GPU-a", "1"] })).toBe("NVIDIA_VISIBLE_DEVICES=GPU-a,1");
});

test("--gpus without the hook: the vendor's description", async () => {
  expect((await edited({ Count: -1, Capabilities: [["gpu"]] })).process.env).toContain("GPU=all");
  expect((await edited({ Count: 1, Capabilities: [["gpu"]] })).process.env).toContain("GPU=0");
  await expect(edited({ DeviceIDs: ["7"], Capabilities: [["gpu"]] })).rejects.toThrow("unresolvable CDI devices nvidia.com/gpu=7");
});
