import { type Pointer, dlopen } from "bun:ffi";
import { shrinkFilter } from "./bpf-shrink.ts";
import { closeFd, memoryFile, readFromStart } from "./fd.ts";
import { ERRNO, cstr, systemError } from "./libc.ts";
import type { SeccompFilter } from "./spawn-protocol.ts";

const SYMBOLS = {
  seccomp_init: { args: ["u32"], returns: "ptr" },
  seccomp_release: { args: ["ptr"], returns: "void" },
  seccomp_attr_set: { args: ["ptr", "i32", "u32"], returns: "i32" },
  seccomp_arch_resolve_name: { args: ["ptr"], returns: "u32" },
  seccomp_arch_add: { args: ["ptr", "u32"], returns: "i32" },
  seccomp_syscall_resolve_name: { args: ["ptr"], returns: "i32" },
  seccomp_rule_add_array: { args: ["ptr", "u32", "i32", "u32", "ptr"], returns: "i32" },
  seccomp_export_bpf: { args: ["ptr", "i32"], returns: "i32" },
} as const;

/** `SCMP_ACT_*` of seccomp.h; the low 16 bits of ERRNO and TRACE carry the number. */
const ACTIONS: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: 0x00000000,
  SCMP_ACT_KILL_THREAD: 0x00000000,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};
/** `enum scmp_compare`. */
const OPERATORS: Readonly<Record<string, number>> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};
const NR_SCMP_ERROR = -1;
const FLTATR_CTL_OPTIMIZE = 8;
/** `struct scmp_arg_cmp`: u32 arg, u32 op, u64 a, u64 b. */
const ARGUMENT_BYTES = 24;

function load(): ReturnType<typeof dlopen<typeof SYMBOLS>>["symbols"] {
  return dlopen("libseccomp.so.2", SYMBOLS).symbols;
}
let loaded: ReturnType<typeof load> | undefined;

/** Whether libseccomp can be loaded here. */
export function hasLibseccomp(): boolean {
  try {
    loaded ??= load();
    return true;
  } catch {
    return false;
  }
}

/**
 * Compiles a filter to the BPF program that `seccomp(2)` takes (an array of 8-byte `struct sock_filter`). Takes about 10 ms.
 * `finish` sees the library's own program; by default it is made smaller. Names that this libseccomp does not know are skipped, as the OCI runtimes do. Throws EINVAL for unknown actions and operators.
 */
export function compileSeccomp(filter: SeccompFilter, finish = shrinkFilter): Uint8Array {
  const lib = (loaded ??= load());
  const context = lib.seccomp_init(actionOf(filter.defaultAction, filter.defaultErrno)) as Pointer | null;
  if (context === null) throw systemError("seccomp_init", ERRNO.EINVAL);
  const output = memoryFile("seccomp");
  try {
    // A binary tree over the numbers; older versions of the library have none and stay with the list.
    lib.seccomp_attr_set(context, FLTATR_CTL_OPTIMIZE, 2);
    for (const name of filter.architectures) addArchitecture(context, name);
    for (const rule of filter.rules) addRule(context, rule, filter.defaultAction, filter.defaultErrno);
    verify(lib.seccomp_export_bpf(context, output), "seccomp_export_bpf");
    return finish(readFromStart(output));
  } finally {
    lib.seccomp_release(context);
    closeFd(output);
  }
}

function addArchitecture(context: Pointer, name: string): void {
  const lib = (loaded ??= load());
  const token = lib.seccomp_arch_resolve_name(cstr(name.replace(/^SCMP_ARCH_/, "").toLowerCase()));
  if (token === 0) throw systemError("seccomp_arch_resolve_name", ERRNO.EINVAL, name);
  const result = lib.seccomp_arch_add(context, token);
  if (result !== -ERRNO.EEXIST) verify(result, "seccomp_arch_add");
}

function addRule(context: Pointer, rule: SeccompFilter["rules"][number], defaultAction: string, defaultErrno: number): void {
  const lib = (loaded ??= load());
  const action = actionOf(rule.action, rule.errno);
  if (action === actionOf(defaultAction, defaultErrno)) return;
  for (const name of rule.names) {
    const number = lib.seccomp_syscall_resolve_name(cstr(name));
    if (number === NR_SCMP_ERROR) continue;
    // Several conditions on one argument cannot be one rule of libseccomp: any of them then suffices, as with the OCI runtimes.
    const repeated = new Set(rule.args.map((arg) => arg.index)).size < rule.args.length;
    const groups = repeated ? rule.args.map((arg) => [arg]) : [rule.args];
    for (const args of groups)
      verify(lib.seccomp_rule_add_array(context, action, number, args.length, packed(args)), "seccomp_rule_add", name);
  }
}

function packed(args: SeccompFilter["rules"][number]["args"]): Uint8Array {
  const view = new DataView(new ArrayBuffer(Math.max(args.length, 1) * ARGUMENT_BYTES));
  args.forEach((arg, index) => {
    const operator = OPERATORS[arg.op];
    if (operator === undefined) throw systemError("seccomp operator", ERRNO.EINVAL, arg.op);
    view.setUint32(index * ARGUMENT_BYTES, arg.index, true);
    view.setUint32(index * ARGUMENT_BYTES + 4, operator, true);
    view.setBigUint64(index * ARGUMENT_BYTES + 8, BigInt(arg.value), true);
    view.setBigUint64(index * ARGUMENT_BYTES + 16, BigInt(arg.valueTwo), true);
  });
  return new Uint8Array(view.buffer);
}

function actionOf(name: string, number: number): number {
  const action = ACTIONS[name];
  if (action === undefined) throw systemError("seccomp action", ERRNO.EINVAL, name);
  return name === "SCMP_ACT_ERRNO" || name === "SCMP_ACT_TRACE" ? action | (number & 0xffff) : action;
}

function verify(result: number, call: string, what?: string): void {
  if (result < 0) throw systemError(call, -result, what);
}
