import { chmod, mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Content } from "../content/content.ts";
import type { State } from "../state/state.ts";
import type { RegistryConfig } from "./config.ts";
import { openFront } from "./front.ts";
import { listenUnix } from "./listen.ts";
import { localStorage } from "./local-storage.ts";
import { noteOldReferrers } from "./old-referrers.ts";
import type { Registry } from "./registry.ts";
import { handle } from "./routes.ts";
import { hasRepository } from "./rows.ts";
import { seed } from "./seed.ts";
import type { ShippedImage } from "./shipped.ts";

/** Requests under way have so long to end when the registry closes, in milliseconds. */
const GRACE_MS = 5000;

/** What the registry stands on. */
export interface RegistryOptions {
  state: State;
  content: Content;
  /** Path of the unix socket to listen on; one that a dead daemon left is replaced. */
  socket: string;
  /** The images to seed it with. */
  shipped: () => Promise<readonly ShippedImage[]>;
  /** Opens it to the network as well. */
  network?: { config: RegistryConfig; folder: string } | undefined;
}

/** Seeds the registry and serves it. */
export async function openRegistry({ state, content, socket, shipped, network }: RegistryOptions): Promise<Registry> {
  const context = { state, content: localStorage(content, state) };
  await noteOldReferrers(context);
  await seed(context, shipped);
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  await rm(socket, { force: true });
  const listeners = network === undefined ? [] : await openFront({ context, ...network });
  const addresses = listeners.map(({ address }) => address);
  listeners.push(listenUnix(socket, (request) => handle(context, request)));
  // Who can write to it decides what stands in for Docker Hub.
  await chmod(socket, 0o600);
  return {
    unix: socket,
    addresses,
    has: (repository) => hasRepository(state, repository),
    async [Symbol.asyncDispose]() {
      await Promise.all(listeners.map((listener) => listener.stop(network === undefined ? 0 : GRACE_MS)));
      await rm(socket, { force: true });
    },
  };
}
