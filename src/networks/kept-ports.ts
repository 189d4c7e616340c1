import { messageOf } from "../base/errors.ts";
import { closeFd } from "../linux/fd.ts";
import { poller, type Source } from "../linux/epoll.ts";
import { openPidfd } from "../linux/pidfd.ts";
import { type Context, heldOf, networkReach } from "./context.ts";
import { type KeeperAnswer, type KeptPort, keeperSocket, portKey } from "./port-records.ts";
import { type HostPort, dropPort, holdPort } from "./port-sockets.ts";
import { type PortRow, allPorts, endpointsOf, portRules, portsOf } from "./rows.ts";
import { portFound, portLost } from "./lost-ports.ts";

/** A keeper that dies this often within {@link DEATHS_WITHIN} ms is not started again: the daemon then holds the ports itself. */
const DEATHS = 5;
const DEATHS_WITHIN = 60_000;
/** How long until a port that another program has is tried again, in ms. */
const TRY_AGAIN = 2000;
/** When the keeper's program is compiled after the daemon's start, in ms: a moment when it has nothing else to do. */
const IDLE = 1000;

/** What the daemon knows of the keeper of its ports (`port-keeper.c`), the one process that outlives it and has the sockets of published ports. */
export class KeptPorts {
  readonly #of: () => Context;
  readonly #kept = new Set<string>();
  #pid = 0;
  #pidfd = -1;
  #watch: Source | undefined;
  #deaths: number[] = [];
  #closed = false;
  #again: ReturnType<typeof setTimeout> | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(context: () => Context) {
    this.#of = context;
  }

  get #context(): Context {
    return this.#of();
  }

  /** Whether the keeper has the socket of a port. */
  has(port: HostPort): boolean {
    return this.#kept.has(portKey(port));
  }

  /** The keeper's process; 0 where there is none. */
  get pid(): number {
    return this.#pid;
  }

  /** Hands a container's ports over: their sockets, and where they lead to now. What fails leaves the sockets with the daemon. */
  async hand(container: string): Promise<void> {
    const ports = portsOf(this.#context.state, container);
    if (ports.length > 0) await this.#change(this.#leading(container, ports), []);
  }

  /** Tells the keeper anew where all ports lead, and whom they are for. */
  async handAll(): Promise<void> {
    const rows = allPorts(this.#context.state).filter((port) => this.#context.open.has(port.container));
    if (rows.length > 0) await this.#change(this.#ofContainers(rows), []);
  }

  /** Takes ports from the keeper; they are free afterwards. */
  async take(ports: readonly HostPort[]): Promise<void> {
    for (const port of ports) this.#context.lost.delete(portKey(port));
    const kept = ports.filter((port) => this.has(port));
    if (kept.length > 0) await this.#change([], kept);
  }

  /** Finds the keeper that an earlier daemon left, takes what nobody wants any more from it and gives it what it lacks. */
  async adopt(): Promise<void> {
    const found = await this.#find();
    // Not known is not none: nothing is bound, lost or handed over before it has answered.
    if (found === "silent") return this.#later(() => this.adopt());
    for (const port of found?.records ?? []) this.#kept.add(portKey(port));
    this.#know(found?.pid ?? 0);
    const rows = allPorts(this.#context.state);
    const wanted = new Set(rows.map(portKey));
    const stale = (found?.records ?? []).filter((port) => !wanted.has(portKey(port)));
    this.#hold(rows);
    const add = this.#ofContainers(rows);
    if (add.length + stale.length > 0) await this.#change(add, stale);
    this.#idle = setTimeout(() => void this.#context.kernel.do("prepareKeeper", undefined).catch(() => undefined), IDLE);
    this.#idle.unref();
  }

  /** Ends the watch; the keeper goes on. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#again);
    clearTimeout(this.#idle);
    this.#know(0);
  }

  async #find(): Promise<KeeperAnswer | "silent" | undefined> {
    const { kernel, options, log } = this.#context;
    try {
      return await kernel.do("keptPorts", keeperSocket(options.execRoot));
    } catch (error) {
      log.warn("the keeper of published ports does not say what it keeps; it is asked again: {error}", { error: messageOf(error) });
      return "silent";
    }
  }

  /** Binds what neither the keeper nor the daemon has. */
  #hold(rows: readonly PortRow[]): void {
    const bound = new Set([...this.#context.held.values()].flatMap(({ sockets }) => sockets.map(portKey)));
    for (const row of rows) {
      const { sockets } = heldOf(this.#context, row.container);
      if (this.has(row) || bound.has(portKey(row))) continue;
      const held = holdPort(row);
      if (typeof held === "number") sockets.push({ ...row, fd: held });
      this.#tell(row, held);
    }
    this.#tryAgain();
  }

  /** Tells of a port that was bound or could not be; that its container is gone by now, or the disk full, must not keep others from being held. */
  #tell(row: PortRow, held: number | string): void {
    try {
      if (typeof held === "string") portLost(this.#context, row, held);
      else portFound(this.#context, row);
    } catch (error) {
      this.#context.log.warn("published port {port}: {error}", { port: portKey(row), error: messageOf(error) });
    }
  }

  /** What another program has may be free some time. */
  #tryAgain(): void {
    clearTimeout(this.#again);
    this.#again = undefined;
    if (this.#context.lost.size > 0) this.#later(() => this.#fill());
  }

  #later(work: () => Promise<void>): void {
    clearTimeout(this.#again);
    if (this.#closed) return;
    this.#again = setTimeout(() => this.#start(work), TRY_AGAIN);
    this.#again.unref();
  }

  /** Does what nobody waits for; what fails is done again. */
  #start(work: () => Promise<void>): void {
    work().catch((error: unknown) => {
      if (this.#closed) return;
      this.#context.log.warn("published ports are not all kept, which is tried again: {error}", { error: messageOf(error) });
      this.#later(work);
    });
  }

  #leading(container: string, ports: readonly PortRow[]): KeptPort[] {
    const endpoints = new Map(endpointsOf(this.#context.state, container).map((endpoint) => [endpoint.id, endpoint]));
    const sockets = new Map(heldOf(this.#context, container).sockets.map((held) => [portKey(held), held.fd]));
    return ports.map((port): KeptPort => {
      const socket = sockets.get(portKey(port));
      const [rule] = portRules([port], endpoints);
      return {
        protocol: port.protocol,
        hostAddress: port.hostAddress,
        hostPort: port.hostPort,
        socket,
        local: isLocal(this.#context, endpoints.get(port.endpoint ?? "")?.network),
        target: rule === undefined || port.protocol === "sctp" ? undefined : { address: rule.address, port: rule.port },
      };
    });
  }

  async #change(add: readonly KeptPort[], remove: readonly HostPort[]): Promise<void> {
    const { kernel, options, log } = this.#context;
    try {
      const path = keeperSocket(options.execRoot);
      const before = this.#pid;
      const answer = await kernel.do("keepPorts", { path, add: [...add], remove: [...remove] });
      for (const port of remove) this.#kept.delete(portKey(port));
      if (answer === undefined) return;
      // Another one was started, as the one before had died just now: it knows of these ports alone.
      const replaced = before !== 0 && before === this.#pid && answer.pid !== before;
      if (replaced) this.#kept.clear();
      const refused = new Set(answer.records.map(portKey));
      const taken = add.filter((port) => port.socket !== undefined && !refused.has(portKey(port)));
      for (const port of taken) this.#kept.add(portKey(port));
      this.#handedOver(new Set(taken.flatMap(({ socket }) => socket ?? [])));
      if (refused.size > 0)
        log.warn("the daemon holds {count} ports itself, [::1] is not carried: the keeper has no room", { count: refused.size });
      this.#know(answer.ports > 0 ? answer.pid : 0);
      if (replaced) await this.#fill();
    } catch (error) {
      log.warn("the daemon holds ports itself, [::1] is not carried: {error}", { error: messageOf(error) });
    }
  }

  #handedOver(sockets: ReadonlySet<number>): void {
    for (const held of this.#context.held.values()) {
      const ours = held.sockets.filter(({ fd }) => sockets.has(fd));
      held.sockets = held.sockets.filter(({ fd }) => !sockets.has(fd));
      for (const { fd } of ours) dropPort(fd);
    }
  }

  /** Watches the process that keeps the ports from now on. */
  #know(pid: number): void {
    if (pid === this.#pid) return;
    this.#watch?.close();
    closeFd(this.#pidfd);
    this.#pid = pid;
    this.#watch = undefined;
    if (pid !== 0) this.#context.needs.placeHelper(pid);
    this.#pidfd = pid === 0 ? -1 : (openPidfd(pid) ?? -1);
    if (this.#pidfd >= 0) this.#watch = poller().add(this.#pidfd, "ready", () => this.#died());
  }

  /** Puts another in its place: its ports are free for a moment. */
  #died(): void {
    if (this.#closed || this.#pid === 0) return;
    this.#know(0);
    this.#kept.clear();
    const rows = allPorts(this.#context.state).filter(({ container }) => this.#context.open.has(container));
    if (rows.length === 0) return;
    this.#context.log.warn("the keeper of published ports has ended; another one takes its place");
    const moment = performance.now();
    this.#deaths = [...this.#deaths.filter((death) => moment - death < DEATHS_WITHIN), moment];
    if (this.#deaths.length <= DEATHS) return this.#start(() => this.#fill());
    this.#hold(rows);
    this.#context.log.error("the keeper of published ports ends again and again; the daemon holds them itself");
  }

  /** Gives the keeper every open port that it has not. */
  async #fill(): Promise<void> {
    const rows = allPorts(this.#context.state).filter((port) => this.#context.open.has(port.container) && !this.has(port));
    this.#hold(rows);
    if (rows.length > 0) await this.#change(this.#ofContainers(rows), []);
  }

  #ofContainers(rows: readonly PortRow[]): KeptPort[] {
    return [...Map.groupBy(rows, ({ container }) => container)].flatMap(([container, ports]) => this.#leading(container, ports));
  }
}

/** Whether the policy for a network's ports lets in nobody from outside. */
function isLocal(context: Context, network: string | undefined): boolean {
  return ((network === undefined ? undefined : networkReach(context)(network)) ?? context.options.reach) === "loopback";
}
