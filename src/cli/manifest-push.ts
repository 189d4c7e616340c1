import { LighterError, messageOf } from "../base/errors.ts";
import { formatReference, parseReference, type Reference } from "../base/reference.ts";
import type { Repository } from "../distribution/distribution.ts";
import type { Descriptor, Digest, Manifest } from "../oci/image.ts";
import type { App } from "./app.ts";
import { command } from "./command.ts";
import { bool } from "./flags.ts";
import { descriptorsFor, listText } from "./manifest-list.ts";
import { repositoryOf } from "./manifest-registry.ts";
import { bytesOf, manifestReference, ManifestStore, type ListedManifest } from "./manifest-store.ts";

/** `manifest push`: sends a list to its registry, with the images that its repository lacks. */
export const manifestPush = command({
  usage: "[OPTIONS] MANIFEST_LIST",
  args: 1,
  flags: {
    insecure: bool("Talk to a registry without TLS or with an unknown certificate"),
    purge: bool("Remove the list from this machine afterwards", "p"),
  },
  async run({ flags, args, app }) {
    const list = manifestReference(args[0] ?? "");
    const store = new ManifestStore(app.folder);
    const images = await store.list(list);
    if (images === undefined) throw new LighterError("not-found", `No such manifest: ${formatReference(list)}`);
    if (images.length === 0) throw new LighterError("not-found", `${formatReference(list)} not found`);
    for (const { Ref, Descriptor } of images) {
      if (Descriptor.platform?.os && Descriptor.platform.architecture) continue;
      throw new LighterError("invalid", `manifest ${Ref} must have an OS and Architecture to be pushed to a registry`);
    }
    const { mediaType, text } = listText(descriptorsFor(list, images));
    const target = await repositoryOf(app, list, { insecure: flags.insecure, push: true });
    for (const image of images) await bringImage(app, target, list, image, flags.insecure);
    app.out(`${await put(target, list, Buffer.from(text), mediaType)}\n`);
    if (flags.purge) await store.remove(list);
  },
});

/** Brings an image of another repository into the list's: its blobs mounted, or copied where the registry does not do that. */
async function bringImage(app: App, target: Repository, list: Reference, image: ListedManifest, insecure: boolean): Promise<void> {
  const from = parseReference(image.Ref);
  if (from.repository === list.repository) return;
  const bytes = bytesOf(image);
  const { config, layers } = JSON.parse(new TextDecoder().decode(bytes)) as Manifest;
  const source = await repositoryOf(app, from, { insecure });
  for (const blob of [...layers, config]) if (!blob.urls?.length) await bringBlob(source, target, from, blob);
  const { registry, repository } = list;
  const own: Reference = { registry, repository, digest: image.Descriptor.digest };
  const digest = await put(target, own, bytes, image.Descriptor.mediaType);
  app.out(`Pushed ref ${formatReference(own)} with digest: ${digest}\n`);
}

async function bringBlob(source: Repository, target: Repository, from: Reference, { digest, size }: Descriptor): Promise<void> {
  const open = (offset: number): ReadableStream<Uint8Array> => laterStream(async () => (await source.blob(digest, { offset })).body);
  await target.upload({ digest, size, open, mountFrom: from.repository });
}

/** A stream that is asked for when it is first read. */
function laterStream(open: () => Promise<ReadableStream<Uint8Array>>): ReadableStream<Uint8Array> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  // What fails on the way is told to the reader.
  open().then(
    (body) => body.pipeTo(writable).catch(() => undefined),
    (error: unknown) => writable.abort(error).catch(() => undefined),
  );
  return readable;
}

async function put(repository: Repository, reference: Reference, bytes: Uint8Array, mediaType: string): Promise<Digest> {
  try {
    return await repository.putManifest(reference.digest ?? reference.tag ?? "latest", bytes, mediaType);
  } catch (cause) {
    throw new LighterError("unavailable", `failed to put manifest ${formatReference(reference)}: ${messageOf(cause)}`, { cause });
  }
}
