import type { RegistryEvent } from "./notices.ts";
import type { Call } from "./routes.ts";

/** Who asked and how, as notices carry it. */
export function askedBy({ request, url, visitor, address }: Call): Pick<RegistryEvent, "request" | "origin" | "actor"> {
  const useragent = request.headers.get("user-agent");
  const host = request.headers.get("host");
  return {
    origin: url.origin,
    request: {
      id: crypto.randomUUID(),
      method: request.method,
      ...(address === undefined ? {} : { addr: address }),
      ...(host === null ? {} : { host }),
      ...(useragent === null ? {} : { useragent }),
    },
    ...(visitor.user === undefined ? {} : { actor: visitor.user }),
  };
}
