import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "../../tools/cache.ts";
import { sourceLine, type Suite } from "../../tools/debian.ts";
import { must, run, type Outcome } from "../../tools/shell.ts";

const repository = join(import.meta.dir, "../..");
const SETTINGS = ["/etc/resolv.conf", "/etc/apt/apt.conf.d"];

/** A Debian made anew with nothing but apt in it, and a copy of this clone under `/root/lighter`. */
export class FreshRoot {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * Runs a shell command inside, in mount and pid namespaces of its own, so that whatever it leaves running ends with it. With
   * `network: "none"` it has a loopback device only, else the machine's network.
   */
  async run(command: string, { network, timeout }: { network: "host" | "none"; timeout: number }): Promise<Outcome> {
    const ours = ["TMPDIR", ...Object.keys(process.env).filter((name) => name.startsWith("LIGHTER_"))];
    const enter = `set -e
      mount --bind "$0" "$0"; cd "$0"
      mount -t proc proc proc; mount --rbind /dev dev; mount --rbind /sys sys; mount -t tmpfs tmpfs run
      mkdir -p .outside; pivot_root . .outside; umount -l .outside; cd /
      ${network === "none" ? "ip link set lo up 2>/dev/null || true" : ""}
      cd /root/lighter; exec env ${ours.map((name) => `-u ${name}`).join(" ")} sh -c "$1"`;
    const flags = [
      "--mount",
      "--propagation",
      "private",
      "--pid",
      "--fork",
      "--kill-child",
      "--ipc",
      ...(network === "none" ? ["--net"] : []),
    ];
    const env = { HOME: "/root", PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", TERM: "xterm" };
    return await run(["unshare", ...flags, "sh", "-c", enter, this.path, command], { env, timeout });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** Makes one. The machine's settings to reach packages (resolver, apt, npm, certificates) are copied, nothing else of it. */
export async function freshRoot(suite: Suite): Promise<FreshRoot> {
  const archive = await rootArchive(suite);
  const root = new FreshRoot(await mkdtemp(join(await cacheFolder("roots"), `${suite}-`)));
  await must(["tar", "-C", root.path, "--numeric-owner", "-xf", archive]);
  await mkdir(join(root.path, "root/lighter"), { recursive: true });
  const excluded = ["./node_modules", "./dist", "./.cache"].map((path) => `--exclude=${path}`);
  await must(["sh", "-c", `tar -C "$0" ${excluded.join(" ")} -cf - . | tar -C "$1" -xf -`, repository, join(root.path, "root/lighter")]);
  await must([
    "sh",
    "-c",
    `for file in ${SETTINGS.join(" ")}; do mkdir -p "$0/\${file%/*}"; cp -rL "$file" "$0/\${file%/*}/"; done`,
    root.path,
  ]);
  await addCertificates(root.path);
  await must(["sh", "-c", '[ ! -f ~/.npmrc ] || cp ~/.npmrc "$0/root/.npmrc"', root.path]);
  return root;
}

async function rootArchive(suite: Suite): Promise<string> {
  const archive = join(await cacheFolder("roots"), `${suite}.tar`);
  if (await Bun.file(archive).exists()) return archive;
  const work = archive.replace(/\.tar$/, `-${process.pid}.tar`); // mmdebstrap goes by the ending
  await must(["mmdebstrap", "--quiet", "--variant=minbase", suite, work, await sourceLine(suite)]);
  await rename(work, archive);
  return archive;
}

/** The authorities that this machine trusts, as an administrator adds them: a proxy's own may be among them. */
async function addCertificates(root: string): Promise<void> {
  const bundle = await Bun.file("/etc/ssl/certs/ca-certificates.crt")
    .text()
    .catch(() => "");
  for (const [index, [certificate]] of [...bundle.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g)].entries()) {
    await Bun.write(join(root, `usr/local/share/ca-certificates/machine-${index}.crt`), certificate);
  }
}
