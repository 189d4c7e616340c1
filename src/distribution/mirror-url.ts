import { LighterError } from "../base/errors.ts";

/**
 * Checks the address of a mirror, and takes slashes off its end. Throws `invalid` with Docker's sentences.
 * @param options `path`: a path may follow the host (Docker takes none in `registry-mirrors`)
 */
export function mirrorUrl(text: string, { path = false }: { path?: boolean } = {}): string {
  const url = URL.parse(text);
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase() ?? "";
  if (scheme !== "http" && scheme !== "https")
    throw new LighterError("invalid", `invalid mirror: unsupported scheme "${scheme}" in "${text}"`);
  if (url === null || url.hostname === "") throw new LighterError("invalid", `invalid mirror: "${text}" is not a valid URI`);
  if ((!path && url.pathname !== "/") || url.search !== "" || url.hash !== "")
    throw new LighterError("invalid", `invalid mirror: path, query, or fragment at end of the URI "${text}"`);
  return text.replace(/\/+$/, "");
}
