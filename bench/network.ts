/**
 * `bun bench/network.ts`: what the network adds to a container's start and end, as root, in a network namespace of its own (a few seconds).
 * Prints the latency of `reserve`, `enter`, `leave` and `release` for containers in a row and at once, and how fast the kernel makes and
 * unmakes namespaces with their links.
 */
import { check, libc } from "../src/linux/libc.ts";
import { Lab, LabDaemon, sh, until } from "../src/networks/lab.ts";
import type { NetworkRequest } from "../src/networks/networks.ts";

const PRIVATE = ["--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];

if (process.env["LIGHTER_LAB"] === undefined) {
  const child = Bun.spawn(["unshare", ...PRIVATE, process.execPath, import.meta.path], {
    env: { ...process.env, LIGHTER_LAB: "1" },
    stdio: ["ignore", "inherit", "inherit"],
  });
  process.exit(await child.exited);
}

/** Times by name, in ms. */
class Times {
  readonly #all = new Map<string, number[]>();

  async of<T>(name: string, act: () => T | Promise<T>): Promise<T> {
    const start = performance.now();
    const result = await act();
    const list = this.#all.get(name) ?? [];
    list.push(performance.now() - start);
    this.#all.set(name, list);
    return result;
  }

  print(title: string): void {
    console.log(`\n${title}`);
    for (const [name, list] of this.#all) {
      list.sort((a, b) => a - b);
      const at = (part: number): string => (list[Math.min(list.length - 1, Math.floor(part * list.length))] ?? 0).toFixed(3);
      console.log(`  ${name.padEnd(10)} p50 ${at(0.5)}  p90 ${at(0.9)}  max ${at(1)} ms  (${list.length})`);
    }
  }
}

const lab = await Lab.open();
const daemon = await LabDaemon.open(lab, { poolSize: 16 });
const whole = new Times();
await whole.of("restore", () => daemon.networks.restore([]));
const links = async (): Promise<number> => Number(await sh("ip -o link | grep -c ' lv' || true"));
await until(async () => (await links()) >= 16);

/** What a container's life costs the network; the namespace is held as its init would hold it. */
async function life(times: Times, name: string, wishes: Partial<NetworkRequest>, runs: number): Promise<void> {
  const request = daemon.request(name, wishes);
  await times.of("reserve", () => daemon.state.write((tx) => daemon.networks.reserve(tx, request), { durable: false }));
  const sandbox = await times.of("enter", () => daemon.networks.enter(request));
  const held = check(libc().open(Buffer.from(`${sandbox.namespace}\0`), 0, 0), "open");
  sandbox.entered();
  await Bun.sleep(runs);
  libc().close(held);
  await times.of("leave", () => daemon.networks.leave(request.containerId));
  await times.of("release", () => daemon.state.write((tx) => daemon.networks.release(tx, request.containerId), { durable: false }));
}

const plain = {
  driver: "bridge",
  internal: false,
  attachable: false,
  enableIPv4: true,
  enableIPv6: false,
  options: {},
  labels: {},
  ipam: {},
};
await daemon.networks.create({ ...plain, name: "named" });
const cases: [string, Partial<NetworkRequest>][] = [
  ["bridge", {}],
  ["none", { mode: "none" }],
  ["a user network with names", { mode: "named" }],
  ["bridge with a published port", { portBindings: { "80/tcp": [{ HostPort: "" }] } }],
];
for (const [title, wishes] of cases) {
  const times = new Times();
  const start = performance.now();
  for (let index = 0; index < 64; index++) await life(times, `${title}-${index}`, wishes, 15);
  times.print(`64 in a row, ${title} (each runs 15 ms): ${(performance.now() - start).toFixed(0)} ms`);
}
for (const count of [16, 64]) {
  const times = new Times();
  const start = performance.now();
  await Promise.all(Array.from({ length: count }, (_, index) => life(times, `at-once-${count}-${index}`, {}, 15)));
  times.print(`${count} at once, bridge: ${(performance.now() - start).toFixed(0)} ms`);
  await Bun.sleep(700);
}

whole.print("whole part");
const before = performance.now();
await daemon.close();
await until(async () => (await links()) === 0);
console.log(`\nclosed and every link gone after ${(performance.now() - before).toFixed(0)} ms`);
daemon.forget();
lab.close();
process.exit(0);
