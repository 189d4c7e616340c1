import { join } from "node:path";
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
