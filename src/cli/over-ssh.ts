import { LighterError } from "../base/errors.ts";
import { formatReference, parseReference, type Reference } from "../base/reference.ts";
import { parseEndpoint, type Endpoint } from "../client/endpoint.ts";
import { moveImage, openFarDaemon } from "../client/far-daemon.ts";
import type { App } from "./app.ts";
import { showProgress } from "./progress.ts";
import { progressOn } from "./pull-image.ts";

/** `ssh://[user@]host[:port]/NAME[:TAG|@DIGEST]`, taken apart. Throws `invalid`. */
export function parseOverSsh(text: string): { endpoint: Extract<Endpoint, { kind: "ssh" }>; name: string; reference: Reference } {
  const match = /^(ssh:\/\/[^/]+)\/+(.+)$/.exec(text);
  const endpoint = parseEndpoint(match?.[1] ?? text);
  if (match?.[2] === undefined || endpoint.kind !== "ssh")
    throw new LighterError("invalid", `Cannot use "${text}": an image is missing: ssh://[USER@]HOST[:PORT]/NAME[:TAG]`);
  return { endpoint, name: match[2], reference: parseReference(match[2]) };
}

/** `push ssh://HOST/NAME` and `pull ssh://HOST/NAME`: the image goes between two daemons, and only what the other side lacks. */
export async function overSsh(
  app: App,
  way: "push" | "pull",
  text: string,
  flags: { platform: string; quiet: boolean; "all-tags": boolean },
): Promise<void> {
  const { endpoint, name, reference } = parseOverSsh(text);
  const { registry, repository, digest } = reference;
  const named = /@|:[^/]*$/.test(name);
  if (way === "push" && digest !== undefined) throw new LighterError("invalid", "cannot push a digest reference");
  if (flags["all-tags"] && way === "pull") throw new LighterError("unsupported", "Cannot pull all tags over ssh: name one");
  if (flags["all-tags"] && named) throw new LighterError("invalid", "tag can't be used with --all-tags/-a");
  if (!flags["all-tags"] && !named && !flags.quiet) app.out(`Using default tag: ${reference.tag}\n`);
  const connection = await app.connection();
  if (connection.endpoint.kind !== "unix")
    throw new LighterError("unsupported", `Cannot ${way} over ssh: the daemon at ${connection.endpoint.text} is not on this machine`);
  // Starts the daemon where that is ours to do.
  await connection.negotiate();
  await using far = await openFarDaemon(endpoint);
  const image = { name: formatReference({ registry, repository }), tag: flags["all-tags"] ? "" : (digest ?? reference.tag ?? "") };
  const answer = await moveImage(connection, way, image, { platform: flags.platform, through: far.path });
  if (answer.body) await showProgress(answer.body, flags.quiet ? { write: () => {}, terminal: false, columns: 200 } : progressOn(1));
  if (way === "pull" || flags.quiet) app.out(`${formatReference(reference)}\n`);
}
