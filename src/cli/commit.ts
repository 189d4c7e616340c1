import { LighterError } from "../base/errors.ts";
import { familiarName, parseReference } from "../base/reference.ts";
import { commitContainer } from "../client/images.ts";
import { command } from "./command.ts";
import { bool, list, string } from "./flags.ts";

/** `commit`: makes an image of what a container has changed. */
export const commit = command({
  usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
  args: [1, 2],
  flags: {
    author: string('Who made it (e.g., "Jane Doe <jane@example.org>")', "a"),
    change: list("Apply a Dockerfile instruction to the image", "c"),
    message: string("Remark for the image's history", "m"),
    "no-pause": bool("Let the container run on meanwhile"),
    pause: bool("Freeze the container meanwhile; the default", { short: "p", initial: true, shown: "true" }),
  },
  async run({ flags, given, args, app }) {
    const [container = "", name] = args;
    if (given("pause") && given("no-pause"))
      throw new LighterError("invalid", "--pause and --no-pause are the same switch: give one of them");
    const reference = name === undefined ? undefined : parseReference(name);
    if (reference?.digest !== undefined) throw new LighterError("invalid", "cannot commit to a digest reference");
    const { Id } = await commitContainer(await app.connection(), {
      container,
      repo: reference ? familiarName(reference) : "",
      tag: reference?.tag ?? "",
      author: flags.author,
      comment: flags.message,
      changes: flags.change,
      pause: flags.pause && !flags["no-pause"],
    });
    app.out(`${Id}\n`);
  },
});
