/**
 * The ground that the root tests stand on: a network namespace that plays the host (the test process itself), another one behind a veth that plays
 * the outside world, and processes that play containers. Addresses are those that RFC 5737 keeps for documentation.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "../base/ids.ts";
import { State } from "../state/state.ts";
import type { NetworkRequest, Networks, NetworksOptions } from "./networks.ts";
import { openNetworks } from "./open.ts";
import { DEFAULT_ADDRESS_POOLS } from "./subnets.ts";

/** The host's address towards the outside, and the outside's. */
export const HOST = "203.0.113.1";
export const OUTSIDE = "203.0.113.2";

/** A bridge network without anything special, for tests to say what is. */
export const PLAIN = {
  driver: "bridge",
  internal: false,
  attachable: false,
  enableIPv4: true,
  enableIPv6: false,
  options: {},
  labels: {},
  ipam: {},
};

/** A process that a test started; killed with {@link Lab.close}. */
type Process = ReturnType<typeof Bun.spawn>;

/** Runs a command and returns its output; throws when it fails. */
export async function sh(command: string): Promise<string> {
  const child = Bun.spawn(["sh", "-c", command], { stdout: "pipe", stderr: "pipe" });
  const [output, errors, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  if (code !== 0) throw new Error(`${command}: exit ${code}: ${errors}`);
  return output.trim();
}

/** How many links of ours there are on the host. */
export async function links(): Promise<number> {
  return Number(await sh("ip -o link | grep -c ' lv' || true"));
}

/** All rules of the host. */
export function ruleset(): Promise<string> {
  return sh("nft list ruleset");
}

/** The host and the outside world. */
export class Lab {
  readonly #children: Process[] = [];
  outsidePid = 0;

  /** Sets the links up; the calling process must stand in a network namespace of its own. */
  static async open(): Promise<Lab> {
    const lab = new Lab();
    lab.outsidePid = lab.spawn(["unshare", "--net", "sleep", "600"]).pid;
    await until(async () => (await sh(`readlink /proc/${lab.outsidePid}/ns/net`)) !== (await sh("readlink /proc/self/ns/net")));
    await sh(
      `ip link set lo up; ip link add out0 type veth peer name in0 netns ${lab.outsidePid}; ip addr add ${HOST}/24 dev out0; ip link set out0 up;
       nsenter --net=/proc/${lab.outsidePid}/ns/net sh -c 'ip link set lo up; ip addr add ${OUTSIDE}/24 dev in0; ip link set in0 up';
       ip route add default via ${OUTSIDE}`,
    );
    return lab;
  }

  /** The path of the outside's namespace. */
  get outside(): string {
    return `/proc/${this.outsidePid}/ns/net`;
  }

  spawn(command: string[], options: { detached?: boolean; stdin?: "pipe" } = {}): Process {
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit", stdin: "ignore", ...options });
    this.#children.push(child);
    return child;
  }

  /** Starts servers in a namespace (the host's without one); resolves when they listen. */
  async echo(tag: string, ports: string[], namespace?: string): Promise<Process> {
    const enter = namespace === undefined ? [] : ["nsenter", `--net=${namespace}`];
    const child = this.spawn([...enter, process.execPath, join(import.meta.dir, "lab-echo.ts"), tag, ...ports]);
    const reader = (child.stdout as ReadableStream<Uint8Array>).getReader();
    const { value } = await reader.read();
    if (
      !Buffer.from(value ?? [])
        .toString()
        .startsWith("listening")
    )
      throw new Error(`the servers of ${tag} did not start`);
    reader.releaseLock();
    return child;
  }

  close(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }
}

/** Connects or sends from a namespace (the host's without one) and returns the answer; `nothing` when none comes within some seconds (0.7). */
export async function ask(from: string | undefined, protocol: "tcp" | "udp", host: string, port: number, seconds = 0.7): Promise<string> {
  const enter = from === undefined ? "" : `nsenter --net=${from} `;
  const script = `exec 3<>/dev/${protocol}/${host}/${port} && echo hello >&3 && head -n1 <&3`;
  const answer = await sh(`${enter}timeout ${seconds} bash -c '${script}' 2>/dev/null || true`);
  return answer === "" ? "nothing" : answer;
}

/** As {@link ask}, for what is to answer at once: on a busy machine the answer may take its time. */
export async function reach(from: string | undefined, protocol: "tcp" | "udp", host: string, port: number): Promise<string> {
  const answer = await ask(from, protocol, host, port, 10);
  return answer === "nothing" ? await ask(from, protocol, host, port, 10) : answer;
}

/** Waits for a condition, at most 15 s. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1500; tries++) {
    if (await condition()) return;
    await Bun.sleep(10);
  }
  throw new Error("what was waited for did not happen within 15 s");
}

/** A container as the network sees it: a process in the namespace. */
export interface LabContainer {
  id: string;
  request: NetworkRequest;
  address: string;
  pid: number;
  /** The path of its namespace. */
  namespace: string;
  hosts: string | undefined;
  resolvConf: string | undefined;
  /** Ends the process, closes ports, deletes the rows. */
  stop(): Promise<void>;
}

/** The part under test on a database of its own. */
export class LabDaemon {
  readonly state: State;
  readonly options: NetworksOptions;
  readonly pids = new Map<string, number>();
  /** What containers say themselves of what they may reach. */
  readonly egress = new Map<string, string>();
  networks!: Networks;
  readonly #lab: Lab;

  private constructor(lab: Lab, options: NetworksOptions) {
    this.#lab = lab;
    this.options = options;
    this.state = new State(join(options.dataRoot, "state.db"));
  }

  static async open(lab: Lab, options: Partial<NetworksOptions> = {}): Promise<LabDaemon> {
    const dataRoot = options.dataRoot ?? mkdtempSync(join(tmpdir(), "lighter-networks-"));
    const whole: NetworksOptions = {
      dataRoot,
      execRoot: dataRoot,
      bridgeName: "lighter0",
      table: "lighter",
      addressPools: [...DEFAULT_ADDRESS_POOLS],
      bip: undefined,
      poolSize: 4,
      ...options,
    };
    const daemon = new LabDaemon(lab, whole);
    const container = (reference: string): { id: string; name: string; pid: number | undefined } => {
      const row = daemon.state.get<{ id: string; name: string }>(
        "SELECT id, name FROM containers WHERE id = ? OR name = ?",
        reference,
        reference,
      );
      if (row === undefined) throw new Error(`No such container: ${reference}`);
      return { ...row, pid: daemon.pids.get(row.id) };
    };
    daemon.networks = await openNetworks({
      state: daemon.state,
      needs: {
        container,
        files: (id) => ({ hosts: join(whole.dataRoot, `${id}.hosts`), resolvConf: join(whole.dataRoot, `${id}.resolv`) }),
        egress: (id) => daemon.egress.get(id),
        placeHelper: () => undefined,
      },
      options: whole,
    });
    return daemon;
  }

  /** A container's row, as containers/ would have made it. */
  row(name: string): string {
    const id = newId();
    const sql =
      "INSERT INTO containers (id, name, created, config_json, image, manifest, runtime, status) VALUES (?, ?, 1, '{}', 'i', 'm', 'crun', 'created')";
    this.state.write((tx) => tx.run(sql, id, name), { durable: false });
    return id;
  }

  request(name: string, wishes: Partial<NetworkRequest> = {}): NetworkRequest {
    const containerId = wishes.containerId ?? this.row(name);
    return {
      containerId,
      containerName: name,
      hostname: containerId.slice(0, 12),
      domainname: "",
      mode: "default",
      endpoints: {},
      portBindings: {},
      exposed: [],
      publishAll: false,
      dns: [],
      dnsOptions: [],
      dnsSearch: [],
      extraHosts: [],
      links: [],
      sysctls: {},
      ...wishes,
    };
  }

  /** Starts a container that sleeps. */
  async run(name: string, wishes: Partial<NetworkRequest> = {}): Promise<LabContainer> {
    const request = this.request(name, wishes);
    const id = request.containerId;
    if (request.egress !== undefined) this.egress.set(id, request.egress);
    this.networks.check(request);
    this.state.write((tx) => this.networks.reserve(tx, request), { durable: false });
    const sandbox = await this.networks.enter(request);
    const enter = sandbox.namespace === undefined ? [] : ["nsenter", `--net=${sandbox.namespace}`];
    const child = this.#lab.spawn([...enter, "sleep", "600"], { detached: true });
    await until(async () => (await sh(`cat /proc/${child.pid}/comm`)) === "sleep");
    sandbox.entered();
    this.pids.set(id, child.pid);
    const settings = this.networks.settings(this.state, id);
    return {
      id,
      request,
      pid: child.pid,
      address: Object.values(settings.networks)[0]?.IPAddress ?? "",
      namespace: `/proc/${child.pid}/ns/net`,
      hosts: sandbox.hosts,
      resolvConf: sandbox.resolvConf,
      stop: async () => {
        child.kill("SIGKILL");
        await child.exited;
        this.pids.delete(id);
        await this.networks.leave(id);
        this.state.write((tx) => this.networks.release(tx, id), { durable: false });
      },
    };
  }

  /** Stops the part as a daemon that ends well. */
  async close(): Promise<void> {
    await this.networks[Symbol.asyncDispose]();
    this.state.close();
  }

  /** Removes the data root. */
  forget(): void {
    rmSync(this.options.dataRoot, { recursive: true, force: true });
  }
}
