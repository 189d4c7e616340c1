import { dirname, join } from "node:path";
import { unpackedPackage } from "./debian.ts";

/** What Debian's OpenSSH is linked with beyond what every Debian has. */
const LIBRARIES =
  "libwrap0 libnsl2 libtirpc3 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libkeyutils1 libcom-err2 libedit2 libbsd0 libmd0";

/** Debian's OpenSSH, run from where it was unpacked: server, client and maker of keys, and the environment they need. */
export async function openSsh(): Promise<{ sshd: string; ssh: string; keygen: string; env: Record<string, string> }> {
  const server = await unpackedPackage("bookworm", "openssh-server");
  const client = await unpackedPackage("bookworm", "openssh-client");
  const folders: string[] = [];
  for (const name of LIBRARIES.split(" ")) {
    const folder = await unpackedPackage("bookworm", name);
    folders.push(
      ...[...new Bun.Glob("**/*.so.*").scanSync({ cwd: folder, absolute: true, onlyFiles: false })].map((path) => dirname(path)),
    );
  }
  return {
    sshd: join(server, "usr/sbin/sshd"),
    ssh: join(client, "usr/bin/ssh"),
    keygen: join(client, "usr/bin/ssh-keygen"),
    env: { LD_LIBRARY_PATH: [...new Set(folders)].join(":") },
  };
}
