import { LighterError, kindOf, messageOf } from "../base/errors.ts";
import { familiarReference, parseReference, type Reference } from "../base/reference.ts";
import { createContainer, type CreateBody } from "../client/containers.ts";
import type { App } from "./app.ts";
import { node } from "./node.ts";

export interface CreateOptions {
  name: string;
  platform: string;
  /** `always`, `missing` or `never`. */
  pull: string;
  quiet: boolean;
  cidfile: string;
  "use-api-socket"?: boolean;
}

/** Docker's check of `--pull`. */
export function checkPullPolicy(pull: string): void {
  if (["always", "missing", "never", ""].includes(pull)) return;
  throw new LighterError("invalid", `invalid pull option: '${pull}': must be one of "always", "missing" or "never"`);
}

/** Makes a container, pulling its image as the policy says. Prints the daemon's warnings. Returns the id. */
export async function createWithPull(app: App, body: CreateBody, options: CreateOptions): Promise<string> {
  const reference = imageReference(body.Image ?? "");
  const cidfile = openCidfile(options.cidfile);
  try {
    if (options.pull === "always" && reference) await pull(app, reference, options);
    const afterwards = options["use-api-socket"]
      ? await import("./api-socket.ts").then(({ useApiSocket }) => useApiSocket(app, body))
      : undefined;
    const { Id, Warnings } = await createOrPull(app, body, reference, options);
    for (const warning of Warnings ?? []) app.err(`WARNING: ${warning}\n`);
    await afterwards?.(Id);
    cidfile.write(Id);
    return Id;
  } catch (error) {
    cidfile.drop();
    throw error;
  }
}

async function createOrPull(
  app: App,
  body: CreateBody,
  reference: Reference | undefined,
  options: CreateOptions,
): ReturnType<typeof createContainer> {
  const connection = await app.connection();
  try {
    return await createContainer(connection, body, options);
  } catch (error) {
    if (!isAbsent(error) || !reference || (options.pull !== "missing" && options.pull !== "")) throw error;
    if (!options.quiet) app.err(`Unable to find image '${familiarReference(reference)}' locally\n`);
    await pull(app, reference, options);
    return await createContainer(connection, body, options);
  }
}

/** Whether the image is not here, or not for the platform that was asked for. */
function isAbsent(error: unknown): boolean {
  return kindOf(error) === "not-found" && /no such image|does not provide the specified platform/i.test(messageOf(error));
}

async function pull(app: App, reference: Reference, options: CreateOptions): Promise<void> {
  const { progressOn, pullReference } = await import("./pull-image.ts");
  await pullReference(app, reference, { platform: options.platform, output: options.quiet ? undefined : progressOn(2) });
}

/** The image as a name that can be pulled; undefined for an id. Throws `invalid` for what is neither. */
function imageReference(image: string): Reference | undefined {
  if (/^(sha256:)?[0-9a-f]{64}$/.test(image)) return undefined;
  return parseReference(image);
}

function openFailure(error: unknown): string {
  return (error as { code?: string }).code === "ENOENT" ? "no such file or directory" : messageOf(error);
}

function openCidfile(path: string): { write: (id: string) => void; drop: () => void } {
  if (path === "") return { write: () => {}, drop: () => {} };
  const { fs } = node;
  if (fs.existsSync(path)) {
    throw new LighterError("conflict", `container ID file found, make sure the other container isn't running or delete ${path}`);
  }
  let fd: number;
  try {
    fd = fs.openSync(path, "wx", 0o644);
  } catch (error) {
    throw new LighterError("invalid", `failed to create the container ID file: open ${path}: ${openFailure(error)}`, { cause: error });
  }
  return {
    write: (id) => {
      fs.writeSync(fd, id);
      fs.closeSync(fd);
    },
    drop: () => {
      fs.closeSync(fd);
      fs.unlinkSync(path);
    },
  };
}
