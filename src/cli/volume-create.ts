import { LighterError } from "../base/errors.ts";
import { createVolume } from "../client/volumes.ts";
import { command } from "./command.ts";
import { keyValue, list, map, string } from "./flags.ts";

/** `volume create`: makes a volume. */
export const volumeCreate = command({
  usage: "[OPTIONS] [VOLUME]",
  args: [0, 1],
  flags: {
    driver: string("Driver of the volume", { short: "d", initial: "local", shown: '"local"' }),
    label: list("Set a label"),
    name: { ...string("Name of the volume"), hidden: true },
    opt: map("Option of the driver", { short: "o", shown: "map[]" }),
  },
  async run({ flags, args, app }) {
    if (flags.name !== "" && args.length > 0)
      throw new LighterError("invalid", "conflicting options: cannot specify a volume-name through both --name and as a positional arg");
    const name = args[0] ?? flags.name;
    const { Name } = await createVolume(await app.connection(), {
      Driver: flags.driver,
      ...(name !== "" && { Name: name }),
      ...(Object.keys(flags.opt).length > 0 && { DriverOpts: flags.opt }),
      ...(flags.label.length > 0 && { Labels: Object.assign({}, ...flags.label.map(keyValue)) as Record<string, string> }),
    });
    app.out(`${Name}\n`);
  },
});
