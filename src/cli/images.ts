import { parseFilters } from "../client/filters.ts";
import { listImages } from "../client/images.ts";
import { command } from "./command.ts";
import { bool, filter, string } from "./flags.ts";
import { renderListing } from "./format.ts";
import { imageListing, imageRows } from "./image-columns.ts";

/** `images`, `image ls`: lists images. */
export const images = command({
  usage: "[OPTIONS] [REPOSITORY[:TAG]]",
  args: [0, 1],
  flags: {
    all: bool("Show all images, also those that others are made of", "a"),
    digests: bool("Show digests"),
    filter: filter(),
    format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
    "no-trunc": bool("Show everything in full length"),
    quiet: bool("Show IDs only", "q"),
    tree: bool("Show the platforms of each image below it"),
  },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    const filters = parseFilters([...flags.filter, ...args.map((name) => `reference=${name}`)]);
    if (flags.tree) {
      const { imageTree } = await import("./image-tree.ts");
      app.out(imageTree(await listImages(connection, { all: flags.all, manifests: true, ...(filters && { filters }) })));
      return;
    }
    const format = flags.format || (flags.quiet ? "" : (app.config.imagesFormat ?? ""));
    const lastUsed = /\.LastUsed\b/.test(format);
    const found = await listImages(connection, { all: flags.all, lastUsed, ...(filters && { filters }) });
    const digests = flags.digests || /\.Digest\b/.test(format);
    const rows = imageRows(found, digests);
    const listing = imageListing({ noTrunc: flags["no-trunc"], digests: flags.digests, now: Date.now() });
    app.out(await renderListing(listing, rows, format, flags.quiet));
  },
});
