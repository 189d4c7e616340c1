import { expect, test } from "bun:test";
import { CONTAINER_DEFAULTS, type ContainerDefaults, ulimitsOf } from "../containers/container-defaults.ts";
import { applyContainerKey, applyDefaultUlimit, type ContainerKey } from "./container-keys.ts";

const applied = (key: ContainerKey, value: unknown): Partial<ContainerDefaults> => {
  const given: Partial<ContainerDefaults> = {};
  applyContainerKey(given, key, value);
  return given;
};

test("keys of daemon.json", () => {
  expect(applied("default-ulimits", { nofile: { Name: "nofile", Soft: 1, Hard: 2 } })).toEqual({
    ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }],
  });
  expect(applied("default-ipc-mode", "shareable")).toEqual({ ipcMode: "shareable" });
  expect(applied("no-new-privileges", true)).toEqual({ noNewPrivileges: true });
  expect(applied("seccomp-profile", "builtin")).toEqual({ seccompProfile: undefined });
  expect(applied("cdi-spec-dirs", ["/a"])).toEqual({ cdiSpecDirs: ["/a"] });
});

test("values that mean nothing are refused, naming the key", () => {
  const bad: [ContainerKey, unknown][] = [
    ["default-ulimits", []],
    ["default-ulimits", { nofile: 5 }],
    ["default-ipc-mode", "host"],
    ["default-cgroupns-mode", "mine"],
    ["no-new-privileges", "yes"],
    ["seccomp-profile", "/nonexistent.json"],
    ["cdi-spec-dirs", ["relative"]],
  ];
  for (const [key, value] of bad) expect(() => applied(key, value)).toThrow(`Cannot use "${key}"`);
});

test("a container's own ulimits come before the daemon's, and those before what the daemon was started with", () => {
  const defaults: Partial<ContainerDefaults> = {};
  applyDefaultUlimit(defaults, "nproc=5");
  applyDefaultUlimit(defaults, "core=1:2");
  const all = { ...CONTAINER_DEFAULTS, ...defaults, nofile: { soft: 1024, hard: 4096 } };
  expect(ulimitsOf({ Ulimits: [{ Name: "core", Soft: 9, Hard: 9 }] }, all)).toEqual([
    { Name: "core", Soft: 9, Hard: 9 },
    { Name: "nproc", Soft: 5, Hard: 5 },
    { Name: "nofile", Soft: 1024, Hard: 4096 },
  ]);
  expect(ulimitsOf({ Ulimits: [{ Name: "nofile", Soft: 1, Hard: 1 }] }, { ...all, ulimits: [] })).toEqual([
    { Name: "nofile", Soft: 1, Hard: 1 },
  ]);
});
