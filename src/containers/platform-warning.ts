import type { Platform } from "../oci/image.ts";
import { formatPlatform, hostPlatform, platformDistance } from "../oci/platform.ts";

/** Docker's warning, if any, for a container of an image that is made for another machine though nobody named a platform. */
export function platformWarning(offered: Platform, asked: string | undefined): string[] {
  const host = hostPlatform();
  if ((asked ?? "") !== "" || platformDistance(host, offered) !== undefined) return [];
  const names = `(${formatPlatform(offered)}) does not match the detected host platform (${formatPlatform(host)})`;
  return [`The requested image's platform ${names} and no specific platform was requested`];
}
