import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "./cache.ts";
import { must } from "./shell.ts";

export type Suite = "bookworm" | "trixie";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const DEFAULT_MIRROR = "http://deb.debian.org/debian";

/** Debian's mirror that this machine's own sources name, else the public one (no trailing slash). */
export async function debianMirror(): Promise<string> {
  const targets = await must(["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]);
  const line = targets.split("\n").find((text) => text.startsWith("Debian http"));
  return line?.slice("Debian ".length).replace(/\/$/, "") ?? DEFAULT_MIRROR;
}

/** The source line of a suite for apt and mmdebstrap. */
export async function sourceLine(suite: Suite): Promise<string> {
  return `deb [signed-by=${KEYRING}] ${await debianMirror()} ${suite} main`;
}

const prepared = new Map<Suite, Promise<string[]>>();

/**
 * Options that make apt work in a folder of its own, for a suite that need not be the machine's. Nothing of the machine's state changes.
 * Made once a process: apt holds a lock while it reads its lists.
 */
function privateApt(suite: Suite): Promise<string[]> {
  let options = prepared.get(suite);
  if (options === undefined) prepared.set(suite, (options = preparePrivateApt(suite)));
  return options;
}

async function preparePrivateApt(suite: Suite): Promise<string[]> {
  const folder = await cacheFolder("apt", suite);
  const sources = join(folder, "sources.list");
  const options = {
    "Dir::Etc::SourceList": sources,
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::State": join(folder, "state"),
    "Dir::State::status": join(folder, "status"),
    "Dir::Cache": join(folder, "cache"),
    "APT::Sandbox::User": "root",
  };
  const apt = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  if (await Bun.file(join(folder, "ready")).exists()) return apt;
  await mkdir(join(folder, "state/lists/partial"), { recursive: true });
  await mkdir(join(folder, "cache/archives/partial"), { recursive: true });
  await Bun.write(join(folder, "status"), "");
  await Bun.write(sources, `${await sourceLine(suite)}\n`);
  await must(["apt-get", ...apt, "update"]);
  await Bun.write(join(folder, "ready"), "");
  return apt;
}

/**
 * The files of a package of a Debian suite, unpacked into a folder of the cache and not installed: no service of it starts and nothing on
 * the machine changes. Returns the folder.
 */
export async function unpackedPackage(suite: Suite, name: string): Promise<string> {
  return unpackedPackages(suite, name, [name]);
}

/** As {@link unpackedPackage}, several packages in one folder of a name of their own. */
export async function unpackedPackages(suite: Suite, folderName: string, names: readonly string[]): Promise<string> {
  const folder = join(await cacheFolder("packages", suite), folderName);
  if ((await readdir(folder).catch(() => [])).length > 0) return folder;
  const work = await mkdtemp(join(await cacheFolder("packages"), "fetch-"));
  try {
    const apt = await privateApt(suite);
    await must(["apt-get", ...apt, "download", ...names], { cwd: work });
    const debs = (await readdir(work)).filter((file) => file.endsWith(".deb"));
    if (debs.length < names.length) throw new Error(`apt-get download ${names.join(" ")} (${suite}): only ${debs.join(" ")} came`);
    for (const deb of debs) await must(["dpkg-deb", "-x", join(work, deb), join(work, "root")]);
    await rename(join(work, "root"), folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return folder;
}
