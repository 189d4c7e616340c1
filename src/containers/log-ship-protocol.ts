import type { LogSubject } from "./log-message.ts";
import type { ShipPosition } from "./log-spool.ts";

/** What the Worker is told: a container's log to ship from where it was, that more came, that nothing more will come, that a position is stored, to leave it. */
export type ShipOrder =
  | {
      type: "start";
      id: string;
      current: string;
      driver: string;
      options: Record<string, string>;
      subject: LogSubject;
      position: ShipPosition | undefined;
    }
  | { type: "more" | "ended" | "stored" | "stop"; id: string };

/** What it answers: a batch was taken, all was, the receiver cannot be reached (or can again), lines went before they could be sent. */
export type ShipReport =
  | { type: "taken"; id: string; position: ShipPosition }
  | { type: "done"; id: string }
  | { type: "trouble"; id: string; text: string }
  | { type: "relief" | "gap"; id: string };
