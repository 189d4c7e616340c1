import { appendEvent } from "../state/events.ts";
import type { Context } from "./context.ts";
import { portKey } from "./port-records.ts";
import type { PortRow } from "./rows.ts";

/** The kernel's words for why a port cannot be bound. */
export const REASON: Readonly<Record<string, string>> = {
  EADDRINUSE: "address already in use",
  EADDRNOTAVAIL: "cannot assign requested address",
  EACCES: "permission denied",
  EAFNOSUPPORT: "address family not supported by protocol",
  EPROTONOSUPPORT: "protocol not supported",
};

/**
 * Tells of a published port of a running container that another program has bound: it took it while neither the daemon nor the keeper of ports ran. The container goes on.
 */
export function portLost(context: Context, port: PortRow, errno: string): void {
  if (context.lost.has(portKey(port))) return;
  const { name } = context.needs.container(port.container);
  const where = `${port.hostAddress.includes(":") ? `[${port.hostAddress}]` : port.hostAddress}:${port.hostPort}/${port.protocol}`;
  const reason = REASON[errno] ?? errno;
  const sentence = `Cannot hold port ${where} of running container "${name}": ${reason}; another program took it while no daemon ran`;
  context.log.warn("{sentence}", { sentence });
  context.lost.set(portKey(port), sentence);
  context.state.write(
    (tx) =>
      appendEvent(tx, {
        type: "container",
        action: "port-lost",
        actor: port.container,
        attributes: { name, port: where, reason },
      }),
    { durable: false },
  );
}

/** Tells of a lost port that is held again. */
export function portFound(context: Context, port: PortRow): void {
  if (context.lost.delete(portKey(port))) context.log.info("holding port {hostAddress}:{hostPort}/{protocol} again", { ...port });
}
