import { LighterError } from "../base/errors.ts";
import { EGRESS_LABEL } from "../wire/labels.ts";

/** The label that says what may be reached, for `--egress` and `--egress-allow`; none where neither was given. Throws `invalid` for a contradiction. */
export function egressLabel(flags: { egress: readonly string[]; "egress-allow": readonly string[] }): Record<string, string> {
  const entries = [...flags.egress, ...flags["egress-allow"]].flatMap((text) => text.split(",")).map((text) => text.trim());
  if (entries.length === 0) return {};
  const word = entries.find((entry) => entry === "none" || entry === "any");
  if (word !== undefined && entries.length > 1)
    throw new LighterError("invalid", `conflicting options: --egress ${word} and other egress rules`);
  return { [EGRESS_LABEL]: entries.join(",") };
}
