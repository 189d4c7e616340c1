/** The label by which `--health-on-failure` travels, so that every client can give it, and sees it. */
export const HEALTH_ACTION_LABEL = "lighter.health-on-failure";

/** What the label may say. */
export const HEALTH_ACTIONS = ["none", "kill", "restart", "stop"] as const;
