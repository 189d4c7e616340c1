import { LighterError } from "../base/errors.ts";
import type { Credentials } from "../distribution/distribution.ts";
import type { AuthConfig } from "../wire/engine-api.ts";
import type { Call } from "./call.ts";

/** The credentials of `X-Registry-Auth`: JSON in base64 of either alphabet. Undefined when there are none; throws `invalid` for what cannot be read. */
export function registryAuth(call: Call): Credentials | undefined {
  const header = call.header("x-registry-auth");
  if (header === undefined || header === "") return undefined;
  let config: AuthConfig & { identitytoken?: string; registrytoken?: string; auth?: string };
  try {
    config = JSON.parse(Buffer.from(header, "base64url").toString()) as typeof config;
  } catch (cause) {
    throw new LighterError("invalid", `invalid X-Registry-Auth header: ${(cause as Error).message}`, { cause });
  }
  const credentials: Credentials = {
    ...(config.username ? { username: config.username } : {}),
    ...(config.password ? { password: config.password } : {}),
    ...(config.identitytoken ? { identityToken: config.identitytoken } : {}),
    ...(config.registrytoken ? { registryToken: config.registrytoken } : {}),
  };
  return Object.keys(credentials).length === 0 ? undefined : credentials;
}
