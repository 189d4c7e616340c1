/** The label by which `--health-on-failure` travels, so that every client can give it, and sees it. */
export const HEALTH_ACTION_LABEL = "lighter.health-on-failure";

/** What the label may say. */
export const HEALTH_ACTIONS = ["none", "kill", "restart", "stop"] as const;

/** The label by which `--egress` and `--egress-allow` travel: `none`, `any`, or what is allowed, with commas between. */
export const EGRESS_LABEL = "lighter.egress";
