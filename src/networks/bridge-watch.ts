import { messageOf } from "../base/errors.ts";
import { type Poller, poller } from "../linux/epoll.ts";
import { libc } from "../linux/libc.ts";
import { makeBridge } from "./bridge.ts";
import { type Context, OPTION, isOn } from "./context.ts";
import { type NetworkRow, allNetworks, endpointsOn, networkById } from "./rows.ts";

/** Links come and go with every container: they are looked at together, after so many ms. */
const PAUSE = 100;

/** Makes bridges again that somebody removes, and puts the containers' links back on them. */
export class BridgeWatch implements AsyncDisposable {
  readonly #context: Context;
  #source: ReturnType<Poller["add"]> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #listener = -1;
  #looking: Promise<void> | undefined;
  #closed = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Begins; a second call does nothing. */
  async start(): Promise<void> {
    if (this.#source !== undefined || this.#closed) return;
    const fd = await this.#context.kernel.do("listenToLinks", undefined);
    this.#listener = fd;
    this.#source = poller().add(fd, "ready", () => this.#noticed());
    this.#noticed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#source?.close();
    // The network Worker may be reading from it.
    await this.#looking;
    if (this.#listener >= 0) libc().close(this.#listener);
  }

  #noticed(): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void (this.#looking = this.#look()), PAUSE);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    try {
      const { names, lost } = await this.#context.kernel.do("lookAtLinks", this.#listener);
      const gone = allNetworks(this.#context.state).filter(({ bridge }) => bridge !== undefined && (lost || names.includes(bridge)));
      if (gone.length > 0 && !this.#closed) await mendBridges(this.#context, gone, () => this.#closed);
    } catch (error) {
      this.#context.log.warn("cannot follow the host's links: {error}", { error: messageOf(error) });
    }
    if (!this.#closed) this.#source?.release();
  }
}

/** Makes those bridges of networks that are missing, and puts links back on them. */
async function mendBridges(context: Context, networks: readonly NetworkRow[], isClosed: () => boolean): Promise<void> {
  const { links } = await context.kernel.do("survey", undefined);
  const there = new Set(links.map(({ name }) => name));
  for (const network of networks) {
    const { bridge, name } = network;
    // The daemon's end clears the host itself; and a network that was removed meanwhile by us has no row any more.
    if (isClosed()) return;
    if (bridge === undefined || there.has(bridge) || networkById(context.state, network.id) === undefined) continue;
    try {
      await makeBridge(context, network);
      const links = endpointsOn(context.state, network.id).flatMap(({ hostName }) => (hostName === "" ? [] : [hostName]));
      await context.kernel.do("enslave", { bridge, links, isolated: !isOn(network.config.options, OPTION.icc) });
      context.log.warn("bridge {bridge} of network {name} was removed by somebody: it was made again", { bridge, name });
      if (network.id === context.bridgeId) await context.bridgePool.renew();
    } catch (error) {
      const what = { bridge, name, error: messageOf(error) };
      context.log.warn("cannot make bridge {bridge} of network {name} again, which somebody removed: {error}", what);
    }
  }
}
