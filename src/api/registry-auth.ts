import type { Credentials } from "../distribution/distribution.ts";
import type { AuthConfig } from "../wire/engine-api.ts";
import type { Call } from "./call.ts";

/**
 * The credentials of `X-Registry-Auth`: JSON in base64 of either alphabet. Undefined when there are none, and for what cannot be read: Docker takes
 * that for none, too, and clients that have no login send all kinds of things.
 */
export function registryAuth(call: Call): Credentials | undefined {
  const config = readHeader(call.header("x-registry-auth"));
  if (config === undefined) return undefined;
  const credentials: Credentials = {
    ...(config.username ? { username: config.username } : {}),
    ...(config.password ? { password: config.password } : {}),
    ...(config.identitytoken ? { identityToken: config.identitytoken } : {}),
    ...(config.registrytoken ? { registryToken: config.registrytoken } : {}),
  };
  return Object.keys(credentials).length === 0 ? undefined : credentials;
}

type HeaderConfig = AuthConfig & { identitytoken?: string; registrytoken?: string };

function readHeader(header: string | undefined): HeaderConfig | undefined {
  if (header === undefined || header === "") return undefined;
  try {
    const config: unknown = JSON.parse(Buffer.from(header, "base64url").toString());
    return typeof config === "object" && config !== null ? (config as HeaderConfig) : undefined;
  } catch {
    return undefined;
  }
}
