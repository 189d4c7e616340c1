import { chmodSync, chownSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { LowerStack } from "../content/lower.ts";
import { S_IFDIR, type FileStat } from "../linux/files.ts";

/** What a container has beside its image's files, as with Docker: what is mounted over, and where programs look for the list of mounts. */
const FILES: readonly (readonly [path: string, kind: "directory" | "file" | "link"])[] = [
  ["dev", "directory"],
  ["dev/console", "file"],
  ["dev/pts", "directory"],
  ["dev/shm", "directory"],
  ["etc", "directory"],
  ["etc/hostname", "file"],
  ["etc/hosts", "file"],
  ["etc/mtab", "link"],
  ["etc/resolv.conf", "file"],
  ["proc", "directory"],
  ["sys", "directory"],
];

/** Their absolute paths. */
export const INIT_FILES: readonly string[] = [".dockerenv", ...FILES.map(([path]) => path)].map((path) => `/${path}`);

interface Step {
  path: string;
  kind: "directory" | "file" | "link";
  /** Of a directory that the image has, too: the writable layer's must look the same. */
  like?: FileStat;
}

const plans = new Map<string, Step[]>();
const MOST_PLANS = 64;

/** Makes them in a writable layer; directories where the image has none. An image is looked through once: a layer never changes. */
export function makeInitFiles(upper: string, layers: readonly string[]): void {
  writeFileSync(`${upper}/.dockerenv`, "", { mode: 0o755 });
  const key = layers[0] ?? "";
  let plan = plans.get(key);
  if (plan === undefined) {
    if (plans.size >= MOST_PLANS) plans.clear();
    plans.set(key, (plan = planOf(new LowerStack(layers))));
  }
  for (const { path, kind } of plan) {
    const place = `${upper}/${path}`;
    if (kind === "directory") mkdirSync(place, { mode: 0o755 });
    else if (kind === "file") writeFileSync(place, "", { mode: 0o755 });
    else symlinkSync("/proc/mounts", place);
  }
  // Last, as every name in a directory changes its time.
  for (const { path, like } of plan) if (like !== undefined) makeLike(`${upper}/${path}`, like);
}

function planOf(image: LowerStack): Step[] {
  const steps: Step[] = [];
  for (const [path, kind] of FILES) {
    const there = image.entry(path);
    const parent = path.includes("/") ? path.slice(0, path.indexOf("/")) : undefined;
    if (parent !== undefined && !steps.some((step) => step.path === parent)) continue;
    // Files of the image with these names are hidden: they would be those of the machine that it was made on.
    if (there === undefined || kind !== "directory") steps.push({ path, kind });
    else if (parent === undefined && there.stat.type === S_IFDIR) steps.push({ path, kind, like: there.stat });
  }
  // A directory that the image has is needed for what is missing in it only.
  return steps.filter(({ path, like }) => like === undefined || steps.some((other) => other.path.startsWith(`${path}/`)));
}

function makeLike(place: string, { mode, uid, gid, mtime }: FileStat): void {
  if (uid !== 0 || gid !== 0) chownSync(place, uid, gid);
  if ((mode & 0o7777) !== 0o755) chmodSync(place, mode & 0o7777);
  const seconds = Number(mtime) / 1e9;
  utimesSync(place, seconds, seconds);
}
