import type { RegistryEvent } from "./notices.ts";
import type { Call } from "./routes.ts";

/** Who asked and how, as notices carry it. */
export function askedBy({ request, url, visitor }: Call): Pick<RegistryEvent, "request" | "origin" | "actor"> {
  const useragent = request.headers.get("user-agent");
  const host = request.headers.get("host");
  return {
    origin: url.origin,
    request: {
      id: crypto.randomUUID(),
      method: request.method,
      ...(host === null ? {} : { host }),
      ...(useragent === null ? {} : { useragent }),
    },
    ...(visitor.user === undefined ? {} : { actor: visitor.user }),
  };
}
