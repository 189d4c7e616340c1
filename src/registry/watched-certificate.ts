import { createSecureContext } from "node:tls";
import { messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { TlsMaterial } from "./listen.ts";

/** How often the files are looked at, in milliseconds. */
const EVERY = 10_000;

/**
 * Tells of another certificate and key, once both are there and fit each other: programs that renew certificates put one file after the other in place.
 * What is wrong is told in the log once, and what was there before still counts.
 */
export function watchCertificate(
  { first, read, every = EVERY }: { first: TlsMaterial; read: () => Promise<TlsMaterial>; every?: number },
  renewed: (tls: TlsMaterial) => void,
): Disposable {
  let known = JSON.stringify(first);
  let told = "";
  const look = async (): Promise<void> => {
    try {
      const tls = await read();
      const now = JSON.stringify(tls);
      if (now === known) return;
      createSecureContext({ cert: tls.cert, key: tls.key });
      known = now;
      told = "";
      renewed(tls);
      logOf("registry").info("another certificate is used from now on");
    } catch (error) {
      const why = messageOf(error);
      if (why !== told) logOf("registry").warn("the certificate that is there now is not used: {why}", { why });
      told = why;
    }
  };
  const timer = setInterval(() => void look(), every).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
