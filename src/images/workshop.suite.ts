import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import type { Reference } from "../base/reference.ts";
import { openContent } from "../content/open.ts";
import type { Content } from "../content/content.ts";
import type { Distribution } from "../distribution/distribution.ts";
import { openDistribution } from "../distribution/open.ts";
import { digestOf } from "../oci/digest.ts";
import type { Digest } from "../oci/image.ts";
import { TAR_END, tarHeader, tarPadding } from "../oci/tar-write.ts";
import { State } from "../state/state.ts";
import type { ProgressMessage } from "../wire/progress.ts";
import type { Images } from "./images.ts";
import type { ImagesNeeds } from "./needs.ts";
import { openImages } from "./open.ts";

/** Images in a temporary directory, for tests. */
export interface Workshop extends AsyncDisposable {
  root: string;
  state: State;
  content: Content;
  images: Images;
  /** What the last calls with `progress` told. */
  messages: ProgressMessage[];
  progress: (message: ProgressMessage) => void;
  /** Containers that use images. */
  users: { image: Digest; id: string; name: string; running: boolean }[];
}

/** Opens images over a fresh state and store; `hub` stands where Docker Hub would be (so that no test asks the real one). */
export async function workshop(
  options: {
    builtin?: ImagesNeeds["builtin"];
    hub?: string;
    root?: string;
    dataRoot?: string;
    maxLayerSize?: number;
    nondistributable?: string[];
  } = {},
): Promise<Workshop> {
  const root = options.root ?? (await mkdtemp(join(tmpdir(), "lighter-images-")));
  const state = new State(join(root, "state.db"));
  const content = await openContent({ dataRoot: options.dataRoot ?? root, state, maxLayerSize: options.maxLayerSize });
  const messages: ProgressMessage[] = [];
  const users: Workshop["users"] = [];
  const needs: ImagesNeeds = { users: (image) => users.filter((user) => user.image === image), builtin: options.builtin };
  const images = openImages({
    state,
    content,
    distribution: redirected(options.hub ?? "http://127.0.0.1:1", options.nondistributable),
    needs,
  });
  return {
    root,
    state,
    content,
    images,
    messages,
    users,
    progress: (message) => void messages.push(message),
    async [Symbol.asyncDispose]() {
      images.exchange.close();
      // What is deleted in the background is not deleted by two at once.
      await content.settled();
      state.close();
      if (options.root === undefined) await rm(root, { recursive: true, force: true });
    },
  };
}

/** A distribution whose Docker Hub is at another address. */
function redirected(hub: string, nondistributable: string[] = []): Distribution {
  const given = { insecureRegistries: [], registryMirrors: [], certificateDirectories: [], userAgent: "lighter/test" };
  const real = openDistribution({ ...given, nondistributable });
  return {
    ...real,
    repository: (reference: Reference, options) =>
      real.repository(
        reference,
        reference.registry === "docker.io" && options.host === undefined ? { ...options, host: { url: hub, insecure: true } } : options,
      ),
  };
}

/** A tar archive of files, and its digest as a layer. */
export function layerOf(files: Readonly<Record<string, string | Uint8Array>>): { bytes: Uint8Array; diffId: Digest } {
  const parts: Uint8Array[] = [];
  for (const [path, value] of Object.entries(files)) {
    const data = typeof value === "string" ? new TextEncoder().encode(value) : value;
    const common = {
      type: "file",
      path,
      link: "",
      mode: 0o644,
      uid: 0,
      gid: 0,
      user: "",
      group: "",
      mtime: 0n,
      major: 0,
      minor: 0,
    } as const;
    parts.push(tarHeader({ ...common, size: data.length }), data, tarPadding(data.length));
  }
  const bytes = Buffer.concat([...parts, TAR_END]);
  return { bytes, diffId: digestOf(bytes) };
}

/** A layer of random bytes, which do not compress. */
export function randomLayer(name: string, size: number): { bytes: Uint8Array; diffId: Digest } {
  const data = new Uint8Array(size);
  for (let at = 0; at < size; at += 65536) crypto.getRandomValues(data.subarray(at, Math.min(size, at + 65536)));
  return layerOf({ [name]: data });
}

/** The error that a promise rejects with; throws where it does not, or with one that is none of ours. */
export async function failure(promise: Promise<unknown>): Promise<LighterError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof LighterError) return error;
  throw error ?? new Error("there was no failure");
}
