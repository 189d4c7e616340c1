import { dirname, join } from "node:path";
import { unpackedPackage, type Suite } from "./debian.ts";

/** Debian's docker command, unmodified: 20.10 of bookworm, 26.1 of trixie. Absolute path. */
export async function dockerClient(suite: Suite): Promise<string> {
  return join(await unpackedPackage(suite, suite === "bookworm" ? "docker.io" : "docker-cli"), "usr/bin/docker");
}

/** Debian's registry (distribution 2.8). Absolute path. */
export async function dockerRegistry(): Promise<string> {
  return join(await unpackedPackage("bookworm", "docker-registry"), "usr/bin/docker-registry");
}

/** A static busybox. Absolute path. */
export async function staticBusybox(): Promise<string> {
  return join(await unpackedPackage("bookworm", "busybox-static"), "bin/busybox");
}

/** Debian's dockerd 20.10 with what it starts (containerd, runc, docker-proxy): its path, and the environment it needs. */
export async function dockerDaemon(): Promise<{ path: string; env: Record<string, string> }> {
  const docker = await unpackedPackage("bookworm", "docker.io");
  const folders = [docker, await unpackedPackage("bookworm", "containerd"), await unpackedPackage("bookworm", "runc")];
  const mapper = await unpackedPackage("bookworm", "libdevmapper1.02.1");
  const programs = folders.flatMap((folder) => [join(folder, "usr/sbin"), join(folder, "usr/bin")]);
  const libraries = [...new Bun.Glob("**/libdevmapper.so.*").scanSync({ cwd: mapper, absolute: true })].map((file) => dirname(file));
  const env = { PATH: [...programs, process.env["PATH"] ?? ""].join(":"), LD_LIBRARY_PATH: libraries[0] ?? "" };
  return { path: join(docker, "usr/sbin/dockerd"), env };
}

/** Debian's rsyslogd: its path, the folder of its modules (with a slash behind), and where its libraries are. */
export async function rsyslogd(): Promise<{ path: string; modules: string; libraries: string }> {
  const folder = await unpackedPackage("bookworm", "rsyslog");
  const folderOf = async (name: string, file: string): Promise<string> => {
    const unpacked = await unpackedPackage("bookworm", name);
    return dirname([...new Bun.Glob(`**/${file}`).scanSync({ cwd: unpacked, absolute: true, onlyFiles: false })][0] ?? "");
  };
  const libraries = [await folderOf("libestr0", "libestr.so.0"), await folderOf("libfastjson4", "libfastjson.so.4")].join(":");
  return { path: join(folder, "usr/sbin/rsyslogd"), modules: `${await folderOf("rsyslog", "imtcp.so")}/`, libraries };
}

/** Debian's zsh and fish, and bash's completion: the folders they were unpacked into. Their data stands in folders of its own. */
export async function shells(): Promise<Record<"bash" | "zsh" | "zshData" | "fish" | "fishData" | "libraries", string>> {
  const pcre = await unpackedPackage("bookworm", "libpcre2-32-0");
  return {
    bash: await unpackedPackage("bookworm", "bash-completion"),
    zsh: await unpackedPackage("bookworm", "zsh"),
    zshData: await unpackedPackage("bookworm", "zsh-common"),
    fish: await unpackedPackage("bookworm", "fish"),
    fishData: await unpackedPackage("bookworm", "fish-common"),
    libraries: dirname([...new Bun.Glob("usr/lib/*/libpcre2-32.so.0").scanSync({ cwd: pcre, absolute: true, onlyFiles: false })][0] ?? ""),
  };
}

/** Debian's mandoc, which finds fault with manual pages. Absolute path. */
export async function mandoc(): Promise<string> {
  return join(await unpackedPackage("bookworm", "mandoc"), "usr/bin/mandoc");
}

/** Debian's cosign, which signs images. Absolute path. */
export async function cosign(): Promise<string> {
  return join(await unpackedPackage("trixie", "cosign"), "usr/bin/cosign");
}

/** docker's own plugins for its command line: compose and buildx. Absolute paths. */
export async function cliPlugins(): Promise<string[]> {
  const found: string[] = [];
  for (const name of ["docker-compose", "docker-buildx"]) {
    const folder = await unpackedPackage("trixie", name);
    found.push(...new Bun.Glob(`**/cli-plugins/${name}`).scanSync({ cwd: folder, absolute: true, onlyFiles: false }));
  }
  return found;
}

/** Clients of registries that others wrote, unmodified: buildah and podman of bookworm, oras of trixie. Absolute paths, and the environment podman needs. */
export async function registryClients(): Promise<{ buildah: string; podman: string; oras: string; env: Record<string, string> }> {
  const subid = await unpackedPackage("bookworm", "libsubid4");
  const libraries = [...new Bun.Glob("**/libsubid.so.4").scanSync({ cwd: subid, absolute: true, onlyFiles: false })].map((file) =>
    dirname(file),
  );
  return {
    buildah: join(await unpackedPackage("bookworm", "buildah"), "usr/bin/buildah"),
    podman: join(await unpackedPackage("bookworm", "podman"), "usr/bin/podman"),
    oras: join(await unpackedPackage("trixie", "oras"), "usr/bin/oras"),
    env: { LD_LIBRARY_PATH: libraries[0] ?? "" },
  };
}
