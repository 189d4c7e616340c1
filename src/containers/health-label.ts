import { LighterError } from "../base/errors.ts";

/** The label by which `--health-on-failure` travels, so that every client can give it. */
export const HEALTH_ACTION_LABEL = "lighter.health-on-failure";
/** The label that containers carry for the well-known helper which restarts unhealthy ones: here the engine does so. */
const AUTOHEAL_LABEL = "autoheal";

const ACTIONS = ["none", "kill", "restart", "stop"] as const;

/** What happens to a container that becomes unhealthy. */
export type HealthAction = (typeof ACTIONS)[number];

/** The action that a container's labels ask for. */
export function healthActionOf(labels: Record<string, string> | null | undefined): HealthAction {
  const asked = labels?.[HEALTH_ACTION_LABEL];
  if (asked !== undefined) return ACTIONS.find((action) => action === asked) ?? "none";
  return labels?.[AUTOHEAL_LABEL] === "true" ? "restart" : "none";
}

/** Checks the label; throws `invalid`. */
export function validateHealthAction(labels: Record<string, string> | null | undefined): void {
  const asked = labels?.[HEALTH_ACTION_LABEL];
  if (asked === undefined || ACTIONS.some((action) => action === asked)) return;
  throw new LighterError(
    "invalid",
    `invalid health-on-failure action: unknown action '${asked}'; use one of 'none', 'kill', 'restart', or 'stop'`,
  );
}
