import { firewalls } from "../../tools/firewalls.ts";
import { must, run } from "../../tools/shell.ts";
import { until } from "./until.ts";

/** A view of the machine's files in which Debian's firewalls are installed; what they write stays in memory. */
const MOUNTS = `set -e
mount -t tmpfs none "$2"; mkdir "$2/etc" "$2/work" "$2/actions"
cp "$1/usr/share/polkit-1/actions/org.fedoraproject.FirewallD1.server.policy.choice" "$2/actions/org.fedoraproject.FirewallD1.policy"
mount -t overlay overlay -o "lowerdir=$1/etc:/etc,upperdir=$2/etc,workdir=$2/work" /etc
mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr
mount -t overlay overlay -o "lowerdir=$1/lib:/usr/lib" /usr/lib
if [ -d /usr/share/polkit-1/actions ]; then mount -t overlay overlay -o "lowerdir=$2/actions:/usr/share/polkit-1/actions" /usr/share/polkit-1/actions; fi
mount -t tmpfs none /run; mount -t tmpfs none /var/log; mkdir -p /run/dbus
cp -n /usr/share/ufw/*.init /usr/share/ufw/*.rules /usr/share/ufw/iptables/*.rules /usr/share/ufw/ufw.conf /etc/ufw/
echo ready > "$2/ready"; exec sleep 900`;

/** A mount namespace with ufw and firewalld in it, in the caller's network namespace. */
export class FirewallRoot implements AsyncDisposable {
  readonly #keeper: ReturnType<typeof Bun.spawn>;
  readonly #started: ReturnType<typeof Bun.spawn>[] = [];

  private constructor(keeper: ReturnType<typeof Bun.spawn>) {
    this.#keeper = keeper;
  }

  /** Makes it on an empty folder. */
  static async open(folder: string): Promise<FirewallRoot> {
    await must(["mkdir", "-p", folder]);
    const command = ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", await firewalls(), folder];
    const root = new FirewallRoot(Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "inherit" }));
    await until("the firewalls' files are there", async () => (await root.run("cat", `${folder}/ready`)).code === 0);
    return root;
  }

  /** Runs a command in it. */
  run(...command: string[]): ReturnType<typeof run> {
    return run([...this.#enter(), ...command]);
  }

  /** As {@link run}; throws when the command fails. */
  must(...command: string[]): Promise<string> {
    return must([...this.#enter(), ...command]);
  }

  /** Starts a service in it. */
  start(...command: string[]): ReturnType<typeof Bun.spawn> {
    const child = Bun.spawn([...this.#enter(), ...command], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    this.#started.push(child);
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [...this.#started, this.#keeper]) {
      child.kill("SIGKILL");
      await child.exited;
    }
  }

  #enter(): string[] {
    return ["nsenter", `--mount=/proc/${this.#keeper.pid}/ns/mnt`];
  }
}
