import { ptr } from "bun:ffi";
import { cstr, libc, systemError } from "./libc.ts";

/** More than glibc's `posix_spawnattr_t` (336 bytes) and `posix_spawn_file_actions_t` (80). */
const OPAQUE_BYTES = 512;
const SIGSET_BYTES = 128;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;

export interface SpawnOptions {
  argv: string[];
  /** The program's file where it is not `argv[0]`. */
  path?: string;
  env: string[];
  cwd: string;
  /** What becomes of descriptors 0, 1, 2, ... in the child. */
  fds: number[];
}

/** The arguments of `posix_spawn(3)` in memory. */
export interface SpawnArguments {
  path: Uint8Array;
  actions: Uint8Array;
  attributes: Uint8Array;
  argv: BigUint64Array;
  env: BigUint64Array;
}

/** Starts a program in a session of its own, with default signals, and exactly the given descriptors. Returns the pid, a child of this process. */
export function posixSpawn(options: SpawnOptions): number {
  return withSpawnArguments(options, ({ path, actions, attributes, argv, env }) => {
    const pid = new Int32Array(1);
    const failed = libc().posix_spawn(pid, path, actions, attributes, argv, env);
    if (failed !== 0) throw systemError("posix_spawn", failed, options.argv[0]);
    return pid[0] ?? -1;
  });
}

/** Lays the arguments out for the time of `use`. */
export function withSpawnArguments<T>({ argv, path = argv[0] ?? "", env, cwd, fds }: SpawnOptions, use: (program: SpawnArguments) => T): T {
  const actions = new Uint8Array(OPAQUE_BYTES);
  const attributes = new Uint8Array(OPAQUE_BYTES);
  const c = libc();
  c.posix_spawn_file_actions_init(actions);
  c.posix_spawnattr_init(attributes);
  const [args, vars] = [vectorOf(argv), vectorOf(env)];
  const directory = cstr(cwd);
  try {
    // Two steps, so that no source is overwritten before its turn: first above everything, then down to its place.
    const above = Math.max(fds.length, ...fds) + 1;
    fds.forEach((fd, index) => c.posix_spawn_file_actions_adddup2(actions, fd, above + index));
    fds.forEach((_, index) => c.posix_spawn_file_actions_adddup2(actions, above + index, index));
    c.posix_spawn_file_actions_addclosefrom_np(actions, fds.length);
    c.posix_spawn_file_actions_addchdir_np(actions, directory);
    c.posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    c.posix_spawnattr_setsigmask(attributes, new Uint8Array(SIGSET_BYTES));
    c.posix_spawnattr_setsigdefault(attributes, new Uint8Array(SIGSET_BYTES).fill(0xff));
    return use({ path: cstr(path), actions, attributes, argv: args.vector, env: vars.vector });
  } finally {
    c.posix_spawn_file_actions_destroy(actions);
    c.posix_spawnattr_destroy(attributes);
    args.bytes.fill(0);
    vars.bytes.fill(0);
  }
}

/** A NULL-terminated `char *[]`; `bytes` must live as long as `vector` is used. */
function vectorOf(texts: string[]): { vector: BigUint64Array; bytes: Uint8Array } {
  const bytes = Buffer.from(texts.map((text) => `${text}\0`).join(""));
  const base = bytes.length === 0 ? 0 : ptr(bytes);
  const vector = new BigUint64Array(texts.length + 1);
  let offset = 0;
  texts.forEach((text, index) => {
    vector[index] = BigInt(base + offset);
    offset += Buffer.byteLength(text) + 1;
  });
  return { vector, bytes };
}
