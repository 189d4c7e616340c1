import { chmod, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { unpackedPackages } from "./debian.ts";
import { run } from "./shell.ts";

/** criu 4.1.1 of trixie and the libraries that it loads; bookworm's is too old for new kernels. */
const PACKAGES =
  "criu libc6 libprotobuf-c1 libnl-3-200 libnet1 libbsd0 libmd0 libcap2 libgnutls30t64 libnftables1 libdrm2 libnftnl11 libmnl0 libjansson4 " +
  "libgmp10 libxtables12 libedit2 libtinfo6 libuuid1 libunistring5 libidn2-0 libhogweed6t64 libnettle8t64 libp11-kit0 libtasn1-6 libffi8 zlib1g " +
  "libbrotli1 libzstd1";

/** A folder for the PATH that holds `criu`, run by its own loader with its own libraries. */
export async function criuFolder(): Promise<string> {
  const root = await unpackedPackages("trixie", "criu-and-libraries", PACKAGES.split(" "));
  const folder = join(root, "wrapped");
  const program = join(folder, "criu");
  if (await Bun.file(program).exists()) return folder;
  const find = (glob: string): string[] => [...new Bun.Glob(glob).scanSync({ cwd: root, absolute: true, onlyFiles: false })];
  const [loader] = find("**/ld-linux-*.so.*");
  const libraries = [...new Set(find("**/*.so*").map((path) => dirname(path)))].join(":");
  await Bun.write(`${program}.new`, `#!/bin/sh\nexec ${loader} --library-path ${libraries} ${join(root, "usr/sbin/criu")} "$@"\n`);
  await chmod(`${program}.new`, 0o755);
  await rename(`${program}.new`, program);
  return folder;
}

/** Why criu cannot work on this machine; undefined where it can. */
export async function criuComplaint(): Promise<string | undefined> {
  const { code, stdout, stderr } = await run([join(await criuFolder(), "criu"), "check"]);
  return code === 0 ? undefined : `${stdout}${stderr}`.trim().split("\n").at(-1);
}
