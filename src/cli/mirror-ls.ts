import { listMirrors, type Mirror } from "../client/mirrors.ts";
import { command } from "./command.ts";
import { bool, string } from "./flags.ts";
import { renderListing, type Listing } from "./format.ts";

/** `mirror ls`: lists the addresses of registries that have mirrors, in the order to ask them. */
export const mirrorLs = command({
  usage: "[OPTIONS] [REGISTRY]",
  args: [0, 1],
  flags: {
    format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
    quiet: bool("Show URLs only", "q"),
  },
  async run({ flags, args, app }) {
    const rows = await listMirrors(await app.connection(), args[0]);
    app.out(await renderListing(LISTING, flags.quiet ? rows.filter(({ Source }) => Source !== "") : rows, flags.format, flags.quiet));
  },
});

const LISTING: Listing<Mirror> = {
  shown: ["Registry", "URL", "Source", "State"],
  quiet: "URL",
  type: "mirrorContext",
  columns: {
    Registry: { heading: "REGISTRY", of: ({ Registry }) => Registry },
    URL: { heading: "URL", of: ({ URL }) => URL },
    Source: { heading: "SOURCE", of: ({ Source }) => (Source === "" ? "(the registry itself)" : Source), json: ({ Source }) => Source },
    State: { heading: "STATE", of: stateOf },
  },
};

function stateOf({ Failure, Until }: Mirror): string {
  return Failure === undefined ? "in use" : `left out until ${(Until ?? "").replace(/\.\d+Z$/, "Z")}: ${Failure}`;
}
