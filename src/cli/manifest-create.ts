import { LighterError, messageOf } from "../base/errors.ts";
import { formatReference, type Reference } from "../base/reference.ts";
import { command, MANY } from "./command.ts";
import { bool } from "./flags.ts";
import { fetchImage, repositoryOf } from "./manifest-registry.ts";
import { manifestReference, ManifestStore } from "./manifest-store.ts";

/** `manifest create`: makes a list of images on this machine. */
export const manifestCreate = command({
  usage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
  args: [2, MANY],
  flags: {
    amend: bool("Add to a list that exists", "a"),
    insecure: bool("Talk to a registry without TLS or with an unknown certificate"),
  },
  async run({ flags, args, app }) {
    const [name = "", ...images] = args;
    const list = listReference(name);
    const store = new ManifestStore(app.folder);
    if ((await store.list(list)) !== undefined && !flags.amend)
      throw new LighterError("conflict", "refusing to amend an existing manifest list with no --amend flag");
    for (const image of images) {
      const reference = manifestReference(image);
      const known = await store.get(list, reference);
      const entry = known?.Raw ? known : await fetchImage(await repositoryOf(app, reference, flags), reference);
      await store.save(list, reference, entry);
    }
    app.out(`Created manifest list ${formatReference(list)}\n`);
  },
});

function listReference(name: string): Reference {
  try {
    return manifestReference(name);
  } catch (cause) {
    throw new LighterError("invalid", `error parsing name for manifest list ${name}: ${messageOf(cause)}`, { cause });
  }
}
