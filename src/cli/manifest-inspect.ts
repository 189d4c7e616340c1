import { LighterError, messageOf } from "../base/errors.ts";
import { formatReference } from "../base/reference.ts";
import { isIndex, type Descriptor } from "../oci/image.ts";
import { command } from "./command.ts";
import { bool } from "./flags.ts";
import { descriptorsFor, listText } from "./manifest-list.ts";
import { fetchImage, fetchImages, fetchManifest, indexOf, repositoryOf } from "./manifest-registry.ts";
import { bytesOf, manifestReference, ManifestStore, type ListedManifest } from "./manifest-store.ts";

/** `manifest inspect`: shows a manifest or a list, of this machine or of a registry. */
export const manifestInspect = command({
  usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
  args: [1, 2],
  flags: {
    insecure: bool("Talk to a registry without TLS or with an unknown certificate"),
    verbose: bool("Show layers and platform, too", "v"),
  },
  async run({ flags, args, app }) {
    const reference = manifestReference(args.at(-1) ?? "");
    const list = args.length === 2 ? manifestReference(args[0] ?? "") : undefined;
    const store = new ManifestStore(app.folder);
    if (list !== undefined) {
      const entry = await store.get(list, reference);
      if (entry === undefined) throw new LighterError("not-found", `No such manifest: ${formatReference(reference)}`);
      return app.out(oneText(entry, flags.verbose));
    }
    const local = await store.list(reference);
    if (local !== undefined) return app.out(flags.verbose ? indented(local) : textOfList(() => descriptorsFor(reference, local)));
    const repository = await repositoryOf(app, reference, flags);
    const fetched = await fetchManifest(repository, reference);
    if (!isIndex(fetched.descriptor.mediaType)) return app.out(oneText(await fetchImage(repository, reference), flags.verbose));
    if (flags.verbose) return app.out(indented(await fetchImages(repository, reference, fetched)));
    return app.out(textOfList(() => indexOf(fetched).manifests));
  },
});

function textOfList(descriptors: () => readonly Descriptor[]): string {
  try {
    return `${listText(descriptors()).text}\n`;
  } catch (cause) {
    throw new LighterError("invalid", `failed to assemble ManifestDescriptor: ${messageOf(cause)}`, { cause });
  }
}

function oneText(entry: ListedManifest, verbose: boolean): string {
  return verbose ? indented(entry) : `${JSON.stringify(JSON.parse(new TextDecoder().decode(bytesOf(entry))), null, "\t")}\n`;
}

/** JSON as Go's encoder indents it: safe to stand in a web page. */
function indented(value: unknown): string {
  const text = JSON.stringify(value, null, "\t");
  return `${text.replace(/[<>&\u2028\u2029]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)}\n`;
}
