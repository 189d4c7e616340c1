import { appendEvent } from "../state/events.ts";
import type { Tx } from "../state/state.ts";
import type { ContainerRow } from "./rows.ts";

/** Tells that a container begins or ends to use its volumes, with Docker's attributes. */
export function tellVolumes(tx: Tx, row: ContainerRow, action: "mount" | "unmount"): void {
  for (const mount of row.desired.mounts) {
    if (mount.type !== "volume") continue;
    const attributes: Record<string, string> = { container: row.id, driver: mount.driver ?? "local" };
    if (action === "mount") {
      attributes["destination"] = mount.destination;
      attributes["propagation"] = mount.propagation;
      attributes["read/write"] = String(mount.rw);
    }
    appendEvent(tx, { type: "volume", action, actor: mount.source, attributes });
  }
}
