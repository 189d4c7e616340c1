import { LighterError, messageOf } from "../base/errors.ts";
import { formatReference } from "../base/reference.ts";
import { command, MANY } from "./command.ts";
import { manifestReference, ManifestStore } from "./manifest-store.ts";

/** `manifest rm`: removes lists from this machine. */
export const manifestRm = command({
  usage: "MANIFEST_LIST [MANIFEST_LIST...]",
  args: [1, MANY],
  flags: {},
  async run({ args, app }) {
    const store = new ManifestStore(app.folder);
    const errors: unknown[] = [];
    for (const name of args) {
      try {
        const list = manifestReference(name);
        if ((await store.list(list)) === undefined) throw new LighterError("not-found", `No such manifest: ${formatReference(list)}`);
        await store.remove(list);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new LighterError("not-found", errors.map(messageOf).join("\n"));
  },
});
