import type { Reader, Tx } from "../state/state.ts";

/** Something in the kernel that is named in the database before it is made, so that it can be found and undone after a crash. */
export interface Effect {
  kind: "bridge" | "link" | "sysctl";
  key: string;
  data: Record<string, string>;
}

const OWNER = "networks";

/** Records an effect, or what is known of it now. */
export function recordEffect(tx: Tx, { kind, key, data }: Effect): void {
  tx.run(
    "INSERT INTO effects (kind, key, owner, data_json) VALUES (?, ?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET data_json = excluded.data_json",
    kind,
    key,
    OWNER,
    JSON.stringify({ v: 1, ...data }),
  );
}

/** Forgets an effect that was undone. */
export function forgetEffect(tx: Tx, kind: Effect["kind"], key: string): void {
  tx.run("DELETE FROM effects WHERE kind = ? AND key = ? AND owner = ?", kind, key, OWNER);
}

/** The effects of a kind. */
export function effectsOf(reader: Reader, kind: Effect["kind"]): Pick<Effect, "key" | "data">[] {
  return reader
    .all<{ key: string; data_json: string }>("SELECT key, data_json FROM effects WHERE kind = ? AND owner = ?", kind, OWNER)
    .map(({ key, data_json }) => ({ key, data: JSON.parse(data_json) as Record<string, string> }));
}
