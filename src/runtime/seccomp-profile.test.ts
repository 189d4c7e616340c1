import { describe, expect, test } from "bun:test";
import { decode, interpret } from "../linux/bpf-filter.ts";
import { compileSeccomp, hasLibseccomp } from "../linux/seccomp.ts";
import type { Seccomp } from "../oci/spec.ts";
import { resolveProfile, toFilter } from "./seccomp-profile.ts";

const allowed = (profile: Seccomp, name: string): boolean =>
  (profile.syscalls ?? []).some((rule) => rule.names.includes(name) && rule.action === "SCMP_ACT_ALLOW" && rule.args === undefined);

test("Docker's default: conditions decided by capabilities", () => {
  const plain = resolveProfile(undefined, ["CAP_SYS_CHROOT"]);
  expect(plain.defaultAction).toBe("SCMP_ACT_ERRNO");
  expect(allowed(plain, "read")).toBe(true);
  expect(allowed(plain, "chroot")).toBe(true);
  expect(allowed(plain, "ptrace")).toBe(true);
  for (const name of ["mount", "unshare", "bpf", "reboot", "init_module", "clone3", "keyctl", "io_uring_setup"])
    expect(allowed(plain, name)).toBe(false);
  expect(plain.syscalls?.find((rule) => rule.names.includes("clone3"))).toMatchObject({ action: "SCMP_ACT_ERRNO", errnoRet: 38 });
  const admin = resolveProfile(undefined, ["CAP_SYS_ADMIN"]);
  expect(allowed(admin, "mount")).toBe(true);
  expect(allowed(admin, "clone3")).toBe(true);
  expect(admin.syscalls?.some((rule) => rule.names[0] === "clone3" && rule.action === "SCMP_ACT_ERRNO")).toBe(false);
});

test("the conditions of a user's profile", () => {
  const rule = (name: string, more: object): object => ({ names: [name], action: "SCMP_ACT_ALLOW", ...more });
  const json = JSON.stringify({
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: [
      rule("read", { includes: { minKernel: "4.8" } }),
      rule("write", { includes: { minKernel: "999.0" } }),
      rule("open", { excludes: { caps: ["CAP_KILL", "CAP_CHOWN"] } }),
      rule("close", { includes: { caps: ["CAP_KILL", "CAP_CHOWN"] } }),
      rule("stat", { includes: { arches: ["nowhere"] } }),
      { name: "lseek", action: "SCMP_ACT_ALLOW" },
    ],
  });
  const names = (caps: string[]): string[] => (resolveProfile(json, caps).syscalls ?? []).flatMap((entry) => entry.names);
  expect(names(["CAP_KILL"])).toEqual(["read", "lseek"]);
  expect(names([])).toEqual(["read", "open", "lseek"]);
  expect(names(["CAP_KILL", "CAP_CHOWN"])).toEqual(["read", "close", "lseek"]);
});

test("arguments past 2^53 are compared to the last bit", () => {
  const json =
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["lseek"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":9007199254740993,"valueTwo":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}';
  const profile = resolveProfile(json, []);
  expect(JSON.stringify(profile)).toContain('"value":9007199254740993,"valueTwo":18446744073709551615');
  expect(toFilter(profile).rules[0]?.args[0]).toMatchObject({ value: 9007199254740993n, valueTwo: 18446744073709551615n });
});

test("profiles that make no sense are refused", () => {
  for (const json of [
    "",
    "{",
    "[]",
    "{}",
    JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", architectures: ["a"], archMap: [{ architecture: "a" }] }),
  ])
    expect(() => resolveProfile(json, [])).toThrow();
});

describe.skipIf(!hasLibseccomp())("compiled", () => {
  test("the default profile becomes a BPF program", () => {
    const program = compileSeccomp(toFilter(resolveProfile(undefined, [])));
    expect(program.length % 8).toBe(0);
    expect(program.length).toBeGreaterThan(1000);
    expect(program.length / 8).toBeLessThan(4096);
  });

  test("the smaller program answers as libseccomp's own, for every number of every architecture", () => {
    for (const capabilities of [[], ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]]) {
      const filter = toFilter(resolveProfile(undefined, capabilities));
      const own = decode(compileSeccomp(filter, (program) => program));
      const small = decode(compileSeccomp(filter));
      expect(small.length).toBeLessThan(own.length / 2);
      const different: string[] = [];
      for (const architecture of [0xc000003e, 0x40000003, 0xc00000b7, 0x40000028, 1])
        for (const base of [0, 0x40000000])
          for (let number = 0; number < 700; number++)
            for (const argument of [0, 8, 38, 39, 40, 0x20000, 0x7e020000, 0xffffffff]) {
              const data = (offset: number): number =>
                offset === 0 ? base + number : offset === 4 ? architecture : offset % 8 === 0 ? argument : 0;
              if (interpret(own, data) !== interpret(small, data)) different.push(`${architecture} ${base + number} ${argument}`);
            }
      expect(different).toEqual([]);
    }
  });

  test("an unknown action is refused, an unknown system call skipped", () => {
    const filter = { defaultAction: "SCMP_ACT_ALLOW", defaultErrno: 1, architectures: [], rules: [] };
    expect(() => compileSeccomp({ ...filter, defaultAction: "SCMP_ACT_WISH" })).toThrow("SCMP_ACT_WISH");
    const rules = [{ names: ["no_such_call"], action: "SCMP_ACT_ERRNO", errno: 1, args: [] }];
    expect(compileSeccomp({ ...filter, rules })).toEqual(compileSeccomp(filter));
  });
});
