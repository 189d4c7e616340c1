import { LighterError } from "../base/errors.ts";
import { formatReference, parseReference } from "../base/reference.ts";
import { tagImage } from "../client/images.ts";
import { command } from "./command.ts";

/** `tag`: gives an image another name. */
export const tag = command({
  usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  args: 2,
  flags: {},
  async run({ args, app }) {
    const [source = "", target = ""] = args;
    const reference = parse(target);
    if (reference.digest !== undefined) throw new LighterError("invalid", "refusing to create a tag with a digest reference");
    const { registry, repository, tag: name = "latest" } = reference;
    await tagImage(await app.connection(), source, { repo: formatReference({ registry, repository }), tag: name });
  },
});

function parse(target: string): ReturnType<typeof parseReference> {
  try {
    return parseReference(target);
  } catch (error) {
    throw new LighterError(
      "invalid",
      `Error parsing reference: ${JSON.stringify(target)} is not a valid repository/tag: ${(error as Error).message}`,
      { cause: error },
    );
  }
}
