import { chmod, mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Content } from "../content/content.ts";
import type { Distribution } from "../distribution/distribution.ts";
import { openDistribution } from "../distribution/open.ts";
import type { State } from "../state/state.ts";
import { openFront, type FrontOptions } from "./front.ts";
import { listenUnix } from "./listen.ts";
import { noteOldReferrers } from "./old-referrers.ts";
import { openStorage } from "./open-storage.ts";
import type { Registry } from "./registry.ts";
import { handle, type RegistryContext } from "./routes.ts";
import { seed } from "./seed.ts";
import { openServices } from "./services.ts";
import { defaultSettings, type Settings } from "./settings.ts";
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
  network?: Pick<FrontOptions, "config" | "folder" | "patient" | "lookEvery"> | undefined;
  /** Storage, upstreams and care of what is kept. */
  settings?: Settings | undefined;
  /** The client of upstreams, where there are any. */
  distribution?: (() => Distribution) | undefined;
}

/** Seeds the registry and serves it. */
export async function openRegistry({
  state,
  content,
  socket,
  shipped,
  network,
  settings,
  distribution,
}: RegistryOptions): Promise<Registry> {
  const context: RegistryContext = { state, content: await openStorage({ state, content, s3: settings?.s3 }) };
  await noteOldReferrers(context);
  const images = await shipped();
  await seed(context, () => Promise.resolve(images));
  // These stand in for Docker Hub: from the network nobody changes them, nor adds to them.
  const reserved = new Set(images.map(({ repository }) => repository));
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  await rm(socket, { force: true });
  const services = await openServices(context, {
    settings: settings ?? defaultSettings(),
    distribution: distribution ?? ownDistribution,
    host: network?.config.addresses[0] ?? "localhost",
  });
  const listeners = network === undefined ? [] : await openFront({ context, ...network, reserved });
  const addresses = listeners.map(({ address }) => address);
  listeners.push(listenUnix(socket, async (request) => (await services.administer(request)) ?? (await handle(context, request))));
  // Who can write to it decides what stands in for Docker Hub.
  await chmod(socket, 0o600);
  return {
    unix: socket,
    addresses,
    collect: (options) => services.collect(options),
    has: (repository) => reserved.has(repository),
    async [Symbol.asyncDispose]() {
      await Promise.all(listeners.map((listener) => listener.stop(network === undefined ? 0 : GRACE_MS)));
      await context.uploads?.close();
      await services[Symbol.asyncDispose]();
      await context.content.close();
      await rm(socket, { force: true });
    },
  };
}

/** A client for upstreams of a registry that runs by itself. */
function ownDistribution(): Distribution {
  return openDistribution({
    insecureRegistries: [],
    registryMirrors: [],
    certificateDirectories: ["/etc/docker/certs.d", "/etc/lighter/certs.d"],
    userAgent: "lighter-registry",
  });
}
