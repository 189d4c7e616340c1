import { LighterError } from "../base/errors.ts";
import { HEALTH_ACTION_LABEL, HEALTH_ACTIONS } from "../wire/labels.ts";

/** The label that containers carry for the well-known helper which restarts unhealthy ones: here the engine does so. */
const AUTOHEAL_LABEL = "autoheal";

/** What happens to a container that becomes unhealthy. */
export type HealthAction = (typeof HEALTH_ACTIONS)[number];

/** The action that a container's labels ask for. */
export function healthActionOf(labels: Record<string, string> | null | undefined): HealthAction {
  const asked = labels?.[HEALTH_ACTION_LABEL];
  if (asked !== undefined) return HEALTH_ACTIONS.find((action) => action === asked) ?? "none";
  return labels?.[AUTOHEAL_LABEL] === "true" ? "restart" : "none";
}

/** Checks the label; throws `invalid`. */
export function validateHealthAction(labels: Record<string, string> | null | undefined): void {
  const asked = labels?.[HEALTH_ACTION_LABEL];
  if (asked === undefined || HEALTH_ACTIONS.some((action) => action === asked)) return;
  throw new LighterError(
    "invalid",
    `invalid health-on-failure action: unknown action '${asked}'; use one of 'none', 'kill', 'restart', or 'stop'`,
  );
}
