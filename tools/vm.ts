/**
 * `bun tools/vm.ts [--suite bookworm|trixie] [command]`: boots Debian from Debian's packages in QEMU, with systemd and pure cgroup v2, this clone
 * inside, and runs a command in it (without one it says what it is): the ground that users stand on.
 *
 * The root is made once a suite and cached; every machine gets a copy of its own. KVM is used where a guest really boots in it, emulation elsewhere.
 */
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cacheFolder } from "./cache.ts";
import { sourceLine, type Suite } from "./debian.ts";
import { must, run, type Outcome } from "./shell.ts";

const repository = join(import.meta.dir, "..");
const RECIPE = "2";
const PACKAGES = [
  ...["linux-image-cloud-amd64", "systemd-sysv", "dbus", "udev", "kmod", "iproute2", "procps", "ca-certificates"],
  ...["conmon", "crun", "nftables", "libseccomp2", "tmux", "busybox-static", "git", "openssh-client", "nfs-kernel-server"],
];
const DISK_SIZE = "6G";
const PROMPT_TIMEOUT_MS = 600_000;
/** Kernel 6.12 panics now and then while it patches its own code under emulation, before anything of ours runs. */
const BOOTS = 3;

/** A booted machine whose root shell hangs on the serial console. */
export class Vm {
  readonly #qemu: Bun.Subprocess<"pipe", "pipe", "ignore">;
  readonly folder: string;
  #seen = "";
  #changed = Promise.withResolvers<void>();
  #ended = false;

  constructor(folder: string, qemu: Bun.Subprocess<"pipe", "pipe", "ignore">) {
    this.folder = folder;
    this.#qemu = qemu;
    void this.#listen();
  }

  /** All that came over the console so far. */
  get console(): string {
    return this.#seen;
  }

  /** Runs a shell command as root; its output is both streams together. */
  async run(command: string, options: { timeout: number }): Promise<Outcome> {
    const mark = `done-${crypto.randomUUID()}`;
    const from = this.#seen.length;
    this.#type(`{ ${command}\n} 2>&1; printf '\\n%s-%s\\n' '${mark.slice(0, 9)}''${mark.slice(9)}' $?\n`);
    const end = new RegExp(`\\n${mark}-(\\d+)\\r?\\n`);
    const text = await this.waitFor(end, { from, timeout: options.timeout });
    const match = end.exec(text);
    return { code: Number(match?.[1]), stdout: text.slice(0, match?.index).replaceAll("\r", ""), stderr: "" };
  }

  /** Leaves the login shell for one without prompt, echo and line editing, in the clone: what {@link run} needs. */
  async plainShell(): Promise<void> {
    this.#type("exec env PS1= PS2= sh\n");
    await Bun.sleep(500);
    this.#type("stty -echo cols 200\n");
    await this.run("cd /root/lighter", { timeout: 30_000 });
  }

  /** Waits until the console shows a pattern after a position; returns what came from there on. */
  async waitFor(pattern: RegExp, { from, timeout }: { from: number; timeout: number }): Promise<string> {
    const deadline = Date.now() + timeout;
    for (;;) {
      const text = this.#seen.slice(from);
      if (pattern.test(text)) return text;
      if (this.#ended) throw new Error(`The machine ended. Its console:\n${text.slice(-3000)}`);
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`The machine did not show ${pattern} within ${timeout} ms. Its console:\n${text.slice(-3000)}`);
      await Promise.race([this.#changed.promise, Bun.sleep(Math.min(left, 1000))]);
    }
  }

  /** Cuts the power: nothing is flushed. The disk stays; {@link bootAgain} takes it up. */
  async cutPower(): Promise<void> {
    this.#qemu.kill("SIGKILL");
    await this.#qemu.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cutPower();
    await rm(this.folder, { recursive: true, force: true });
  }

  #type(text: string): void {
    void this.#qemu.stdin.write(text);
    void this.#qemu.stdin.flush();
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#qemu.stdout) {
      this.#seen += decoder.decode(chunk, { stream: true });
      this.#changed.resolve();
      this.#changed = Promise.withResolvers<void>();
    }
    this.#ended = true;
    this.#changed.resolve();
  }
}

/** Makes a machine of a suite and boots it; resolves when its shell is ready. */
export async function bootVm(suite: Suite): Promise<Vm> {
  const root = await rootFolder(suite);
  const folder = await mkdtemp(join(tmpdir(), "lighter-vm-"));
  await makeDisk(root, join(folder, "disk.ext4"));
  return await boot(root, folder);
}

/** Boots a machine whose power was cut, or that switched itself off, from the disk it left. */
export async function bootAgain(vm: Vm, suite: Suite): Promise<Vm> {
  await vm.cutPower();
  return await boot(await rootFolder(suite), vm.folder);
}

async function boot(root: string, folder: string): Promise<Vm> {
  const files = await readdir(join(root, "boot"));
  const kernel = files.find((file) => file.startsWith("vmlinuz-"));
  const initrd = files.find((file) => file.startsWith("initrd.img-"));
  if (kernel === undefined || initrd === undefined) throw new Error(`${root}/boot has no kernel and initrd`);
  const machine = [
    "-nodefaults",
    "-no-reboot",
    "-display",
    "none",
    "-serial",
    "stdio",
    "-m",
    "4096",
    "-smp",
    "2",
    ...(await accelerator(root)),
  ];
  const boot = [
    "-kernel",
    join(root, "boot", kernel),
    "-initrd",
    join(root, "boot", initrd),
    "-append",
    // On a machine that is busy with other things a device may take minutes to show.
    "root=/dev/vda rw console=ttyS0 quiet systemd.default_device_timeout_sec=900 systemd.default_timeout_start_sec=900",
  ];
  const disk = ["-drive", `file=${join(folder, "disk.ext4")},format=raw,if=virtio,cache=writeback`];
  const command = ["qemu-system-x86_64", ...machine, ...boot, ...disk];
  for (let tries = 1; ; tries++) {
    const vm = new Vm(folder, Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "ignore" }));
    try {
      const console = await vm.waitFor(/root@[\w-]+:~#|Kernel panic/, { from: 0, timeout: PROMPT_TIMEOUT_MS });
      if (!console.includes("Kernel panic")) {
        await vm.plainShell();
        return vm;
      }
      if (tries === BOOTS) throw new Error(`The kernel panics at each boot. Its console:\n${console.slice(-3000)}`);
    } catch (error) {
      await vm[Symbol.asyncDispose]();
      throw error;
    }
    await vm.cutPower();
  }
}

let chosen: Promise<string[]> | undefined;

/** KVM where a guest reaches its kernel's first lines within ten seconds, else emulation. */
function accelerator(root: string): Promise<string[]> {
  return (chosen ??= trialBoot(root));
}

async function trialBoot(root: string): Promise<string[]> {
  // Without cmpxchg16b, next to which kernel 6.12 panicked under QEMU 7.2: docs/decisions/0010-debian-12-and-13-booted.md.
  const emulated = ["-accel", "tcg,thread=multi", "-cpu", "max,-cx16"];
  if (
    !(await Bun.file("/dev/kvm")
      .exists()
      .catch(() => false)) &&
    !(await run(["test", "-c", "/dev/kvm"])).code
  )
    return emulated;
  const kernel = (await readdir(join(root, "boot"))).find((file) => file.startsWith("vmlinuz-"));
  const flags = ["-accel", "kvm", "-cpu", "host", "-nodefaults", "-display", "none", "-serial", "stdio", "-m", "512", "-no-reboot"];
  const trial = await run(
    ["qemu-system-x86_64", ...flags, "-kernel", join(root, "boot", kernel ?? ""), "-append", "console=ttyS0 panic=-1"],
    { timeout: 10_000 },
  );
  return trial.stdout.includes("Kernel panic") ? ["-accel", "kvm", "-cpu", "host"] : emulated;
}

/** The unpacked root of a suite with kernel and systemd, made by mmdebstrap once; a folder of the cache. */
async function rootFolder(suite: Suite): Promise<string> {
  const folder = join(await cacheFolder("vm", RECIPE), suite);
  if (await Bun.file(join(folder, "etc/os-release")).exists()) return folder;
  const work = `${folder}-${process.pid}`;
  await mkdir(work, { recursive: true });
  await must([
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    "--format=directory",
    `--include=${PACKAGES.join(",")}`,
    suite,
    work,
    await sourceLine(suite),
  ]);
  await configure(work);
  await rename(work, folder);
  return folder;
}

async function configure(root: string): Promise<void> {
  const files: Record<string, string> = {
    "etc/hostname": "lighter-vm\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 lighter-vm\n",
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf":
      "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200 %I vt220\n",
    "root/.profile": "export HOME=/root LIGHTER_IN_VM=1\n",
  };
  for (const [path, text] of Object.entries(files)) await Bun.write(join(root, path), text);
  await must(["chroot", root, "systemctl", "enable", "serial-getty@ttyS0.service"]);
}

/** A disk with the suite's root and this clone (what git tracks, what was built, what is cached) under /root/lighter. */
async function makeDisk(root: string, disk: string): Promise<void> {
  const work = `${disk}.root`;
  await must(["cp", "-a", "--reflink=auto", root, work]);
  const target = join(work, "root/lighter");
  await mkdir(target, { recursive: true });
  const left = ["./.cache/vm", "./.cache/roots", "./.cache/apt", "./.git/objects"].map((path) => `--exclude=${path}`).join(" ");
  await must(["sh", "-c", `tar -C "$0" ${left} -cf - . | tar -C "$1" -xf -`, repository, target]);
  await must(["sh", "-c", 'truncate -s "$0" "$1" && mkfs.ext4 -q -F -d "$2" "$1"', DISK_SIZE, disk, work]);
  await rm(work, { recursive: true, force: true });
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({ options: { suite: { type: "string", default: "bookworm" } }, allowPositionals: true });
  await using vm = await bootVm(values.suite as Suite);
  const { code, stdout } = await vm.run(
    positionals.join(" ") || "cat /proc/version; systemctl is-system-running; stat -fc %T /sys/fs/cgroup",
    { timeout: 3_600_000 },
  );
  process.stdout.write(stdout);
  process.exitCode = code;
}
