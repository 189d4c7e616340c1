import { command } from "./command.ts";
import { contextName, DEFAULT_CONTEXT, DEFAULT_SOCKET } from "./connect.ts";
import { DEFAULT_DESCRIPTION } from "./context-default.ts";
import { listContexts } from "./contexts.ts";
import { bool, string } from "./flags.ts";
import { renderListing, type Listing } from "./format.ts";

interface Row {
  name: string;
  description: string;
  endpoint: string;
  current: boolean;
}

/** `context ls`: lists the daemons that have a name. */
export const contextLs = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: {
    format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
    quiet: bool("Show names only", "q"),
  },
  async run({ flags, app }) {
    const chosen = contextName(app);
    const standing: Row = {
      name: DEFAULT_CONTEXT,
      description: DEFAULT_DESCRIPTION,
      endpoint: app.globals.host[0] ?? process.env["DOCKER_HOST"] ?? `unix://${DEFAULT_SOCKET}`,
      current: chosen === DEFAULT_CONTEXT,
    };
    const others = listContexts(app.folder).map((context): Row => ({
      name: context.Name,
      description: context.Metadata.Description ?? "",
      endpoint: context.Endpoints.docker?.Host ?? "",
      current: context.Name === chosen,
    }));
    const rows = [standing, ...others].sort((a, b) => (a.name < b.name ? -1 : 1));
    app.out(await renderListing(LISTING, rows, flags.format, flags.quiet));
    if (process.env["DOCKER_HOST"]) {
      app.err(
        "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the global --context flag, or unset DOCKER_HOST environment variable.\n",
      );
    }
  },
});

const LISTING: Listing<Row> = {
  shown: ["Star", "Description", "DockerEndpoint", "Error"],
  quiet: "Name",
  type: "clientContextContext",
  columns: {
    Star: { heading: "NAME", of: ({ name, current }) => (current ? `${name} *` : name), tableOnly: true },
    Name: { heading: "NAME", of: ({ name }) => name },
    Current: { heading: "CURRENT", of: ({ current }) => current },
    Description: { heading: "DESCRIPTION", of: ({ description }) => description },
    DockerEndpoint: { heading: "DOCKER ENDPOINT", of: ({ endpoint }) => endpoint },
    Error: { heading: "ERROR", of: () => "" },
  },
};
