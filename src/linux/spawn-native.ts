import { cc, dlopen, ptr } from "bun:ffi";
import { closeFd, memoryFile, writeAll } from "./fd.ts";
import { cstr, systemError } from "./libc.ts";
import { type SpawnArguments, type SpawnOptions, withSpawnArguments } from "./posix-spawn.ts";

/**
 * The steps between two namespaces, as one native call. JavaScript in between could make its engine start a helper thread there (a JIT
 * or collector thread, at any time), which would keep the namespace and the mounts in it for as long as that thread lives.
 * Compiled in memory by the C compiler inside Bun; takes a few milliseconds, once. Machines of users have neither headers nor the libraries
 * of a C compiler: nothing is linked, and glibc's functions come by their addresses.
 */
const SOURCE = `
#define unshare ((int (*)(int flags)) a[12])
#define setns ((int (*)(int fd, int type)) a[13])
#define mount ((int (*)(const char *source, const char *target, const char *type, unsigned long flags, const void *data)) a[14])
#define umount2 ((int (*)(const char *target, int flags)) a[15])
#define posix_spawn ((int (*)(int *pid, const char *path, const void *actions, const void *attributes, char *const *argv, char *const *envp)) a[16])
#define syscall ((long (*)(long number, ...)) a[17])
#define errno (*((int *(*)(void)) a[18])())
#define chdir ((int (*)(const char *path)) a[19])
#define setfsuid ((int (*)(unsigned int id)) a[20])
#define setfsgid ((int (*)(unsigned int id)) a[21])
#define capget ((int (*)(void *header, void *data)) a[22])
#define capset ((int (*)(void *header, void *data)) a[23])
#define prctl ((int (*)(int option, unsigned long value)) a[24])

/* Fields: host namespace, hybrid (1) and something on /dev/null (2), target, options, detached mount, result; path, actions, attributes, argv, envp of posix_spawn; last step; the functions above; working directory of the mount,
   places (descriptors of mounts with paths), their number, how many of them go again, who mounts (-1 for the caller).
   Without a path the answer is a detached clone of the mount instead. */
int lighter_spawn(long *a)
{
  int host = a[0], hybrid = a[1], detached = a[4], *pid = (int *) a[5];
  const char *target = (const char *) a[2], *options = (const char *) a[3];
  long *places = (long *) a[26], owner = a[29], i, dumpable = 0;
  unsigned int header[2] = { 0x20080522, 0 }, rights[6];
  int error = 0;
  if (unshare(0x20000)) return errno;
  a[11] = 2;
  /* What is mounted on a place of the host stays in the copy: the mount that holds it. */
  if (hybrid & 2 && mount(0, "/dev/null", 0, 1 << 18, 0) && mount(0, "/dev", 0, 1 << 18, 0) && mount(0, "/", 0, 1 << 18, 0)) error = errno;
  if (!error) a[11] = 6;
  for (i = 0; i < a[27] && !error; i++)
    if (syscall(429, (int) places[2 * i], "", -100, (const char *) places[2 * i + 1], 4)) error = errno;
  if (!error) a[11] = 1;
  if (!error && hybrid & 1 && (mount(0, "/sys/fs/cgroup", 0, 1 << 18, 0) || umount2("/sys/fs/cgroup/unified", 2))) error = errno;
  if (!error && target) {
    a[11] = 2;
    /* Whoever mounts makes the files that the kernel needs: the new numbers must be his. The rights that go with root's number
       are taken back, and so is what others may see of this process. */
    if (owner >= 0) {
      dumpable = prctl(3, 0);
      capget(header, rights);
      setfsuid(owner);
      setfsgid(a[30]);
      if (capset(header, rights)) error = errno;
    }
    if (error) ;
    else if (a[25] && chdir((const char *) a[25])) error = errno;
    else if (detached >= 0 ? syscall(429, detached, "", -100, target, 4) : mount("overlay", target, "overlay", 0, options))
      error = errno;
    if (a[25]) chdir("/");
    if (owner >= 0) {
      setfsuid(0);
      setfsgid(0);
      capset(header, rights);
      if (dumpable == 1) prctl(4, 1);
    }
  }
  for (i = 0; i < a[28]; i++) umount2((const char *) places[2 * i + 1], 2);
  if (!error && !a[6]) {
    a[11] = 5;
    *pid = syscall(428, -100, target, 0x80001);
    if (*pid < 0) error = errno;
  }
  else if (!error) {
    a[11] = 3;
    error = posix_spawn(pid, (const char *) a[6], (void *) a[7], (void *) a[8], (char **) a[9], (char **) a[10]);
  }
  unshare(0x200);
  if (setns(host, 0x20000)) {
    a[11] = 4;
    return errno;
  }
  return error;
}
`;
/** A place that is the host's. */
export const NULL = "/dev/null";

/** What failed, by the number that the code leaves in its last field. */
const STEPS = ["unshare", "umount", "mount", "posix_spawn", "setns", "open_tree", "move_mount"];

function compile(): (fields: BigInt64Array) => number {
  const file = memoryFile("spawn.c");
  try {
    writeAll(file, Buffer.from(SOURCE));
    const symbols = { lighter_spawn: { args: ["ptr"], returns: "i32" } } as const;
    return cc({ source: `/proc/self/fd/${file}`, flags: "-nostdlib", symbols }).symbols.lighter_spawn;
  } finally {
    closeFd(file);
  }
}
let compiled: ReturnType<typeof compile> | undefined;

/** The functions that the code calls, in the order of its fields. */
const FUNCTIONS = [
  "unshare",
  "setns",
  "mount",
  "umount2",
  "posix_spawn",
  "syscall",
  "__errno_location",
  "chdir",
  "setfsuid",
  "setfsgid",
  "capget",
  "capset",
  "prctl",
];
let addresses: bigint[] | undefined;

/** Where glibc has them; it stays loaded for the life of the process. */
function addressesOfFunctions(): bigint[] {
  const { dlsym } = dlopen("libc.so.6", { dlsym: { args: ["ptr", "ptr"], returns: "u64" } }).symbols;
  return FUNCTIONS.map((name) => BigInt(dlsym(null, cstr(name))));
}

/** Compiles the native part; later calls cost nothing. */
export function prepareNative(): void {
  compiled ??= compile();
  addresses ??= addressesOfFunctions();
}

export interface PrivateMounts {
  /** A descriptor of the namespace to return to. */
  hostMounts: number;
  /** Detach `/sys/fs/cgroup/unified` in the copy. */
  hybrid: boolean;
  /** An overlay: its target, and either the options of `mount(2)` or a mount that is attached nowhere yet. */
  overlay?: OverlayMount;
  /** What is mounted in the copy before, by descriptors of mounts that are attached nowhere. */
  places?: Place[];
}

/** A target, and either the options of `mount(2)` or a mount that is attached nowhere yet. */
export type OverlayMount =
  | {
      target: string;
      options: string;
      /** Where the layers that the options name are. */
      from?: string;
      /** In whose name it is mounted: user and group on the host. */
      owner?: { uid: number; gid: number };
      /** Places that are taken off again once it is mounted. */
      layers?: Place[];
    }
  | { target: string; detached: number };

/** A mount that is attached nowhere yet, and where it goes. */
export interface Place {
  mount: number;
  path: string;
}

/** Starts a program in a fresh copy of the calling thread's mount namespace; the thread is back in `hostMounts` afterwards. */
export function spawnWithMounts(options: SpawnOptions, mounts: PrivateMounts): number {
  return withSpawnArguments(options, (program) => run(mounts, program, options.argv[0] ?? ""));
}

/**
 * A descriptor of an overlay that is attached nowhere, made in a namespace that ends at once: for kernels before 6.5, where an overlay
 * cannot be made without a place (`open_tree(OPEN_TREE_CLONE)` outlives the namespace).
 */
export function detachInNamespace(mounts: PrivateMounts): number {
  return run(mounts, undefined, "");
}

function run(mounts: PrivateMounts, program: SpawnArguments | undefined, name: string): number {
  prepareNative();
  const { overlay } = mounts;
  const target = overlay ? cstr(overlay.target) : undefined;
  const text = overlay && "options" in overlay ? cstr(overlay.options) : undefined;
  const from = overlay && "options" in overlay && overlay.from !== undefined ? cstr(overlay.from) : undefined;
  const layers = overlay && "options" in overlay ? (overlay.layers ?? []) : [];
  const all = [...layers, ...(mounts.places ?? [])];
  const paths = all.map(({ path }) => cstr(path));
  const places = BigInt64Array.from(all.flatMap(({ mount }, index) => [BigInt(mount), BigInt(ptr(paths[index] as Uint8Array) as number)]));
  const owner = overlay && "options" in overlay ? overlay.owner : undefined;
  const result = new Int32Array(1);
  const address = (bytes: NodeJS.TypedArray | undefined): bigint => BigInt(bytes === undefined ? 0 : (ptr(bytes) as number));
  const fields = new BigInt64Array(18 + FUNCTIONS.length);
  fields.set(addresses ?? [], 12);
  fields.set([
    BigInt(mounts.hostMounts),
    (mounts.hybrid ? 1n : 0n) | (mounts.places?.some(({ path }) => path === NULL) ? 2n : 0n),
    address(target),
    address(text),
  ]);
  fields.set([address(from), all.length === 0 ? 0n : address(places), BigInt(all.length), BigInt(layers.length)], 12 + FUNCTIONS.length);
  fields.set([BigInt(owner?.uid ?? -1), BigInt(owner?.gid ?? -1)], 16 + FUNCTIONS.length);
  fields[4] = overlay && "detached" in overlay ? BigInt(overlay.detached) : -1n;
  fields.set([result, program?.path, program?.actions, program?.attributes, program?.argv, program?.env].map(address), 5);
  const failed = (compiled as ReturnType<typeof compile>)(fields);
  const step = STEPS[Number(fields[11])] ?? "spawn";
  // What the fields point to must live until here.
  paths.length = 0;
  if (failed !== 0) throw systemError(step, failed, step === "mount" ? overlay?.target : name);
  return result[0] ?? -1;
}
