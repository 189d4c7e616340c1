import { chmod, mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Content } from "../content/content.ts";
import type { State } from "../state/state.ts";
import { refuseError } from "./answers.ts";
import { localStorage } from "./local-storage.ts";
import type { Registry } from "./registry.ts";
import { handle } from "./routes.ts";
import { hasRepository } from "./rows.ts";
import { seed } from "./seed.ts";
import type { ShippedImage } from "./shipped.ts";

/** Larger than any blob: the content store's own limit is the disk. */
const MAX_BODY = Number.MAX_SAFE_INTEGER;

/** What the registry stands on. */
export interface RegistryOptions {
  state: State;
  content: Content;
  /** Path of the unix socket to listen on; one that a dead daemon left is replaced. */
  socket: string;
  /** The images to seed it with. */
  shipped: () => Promise<readonly ShippedImage[]>;
}

/** Seeds the registry and serves it. */
export async function openRegistry({ state, content, socket, shipped }: RegistryOptions): Promise<Registry> {
  const context = { state, content: localStorage(content, state) };
  await seed(context, shipped);
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  await rm(socket, { force: true });
  const server = Bun.serve({
    unix: socket,
    maxRequestBodySize: MAX_BODY,
    fetch(request, server) {
      // A client that is busy unpacking may leave a connection alone for longer than the default ten seconds.
      server.timeout(request, 0);
      return handle(context, request);
    },
    error: (error) => refuseError(error),
  });
  // Who can write to it decides what stands in for Docker Hub.
  await chmod(socket, 0o600);
  return {
    unix: socket,
    has: (repository) => hasRepository(state, repository),
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      await rm(socket, { force: true });
    },
  };
}
