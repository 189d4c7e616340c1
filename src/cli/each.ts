import { LighterError, kindOf, messageOf } from "../base/errors.ts";
import type { App } from "./app.ts";

/**
 * Does something to each of several objects at once, prints the name of each that went well, in the order given, and says
 * at the end what went wrong. Throws with all the errors, one a line.
 */
export async function each(app: App, names: readonly string[], act: (name: string) => Promise<void>): Promise<void> {
  const results = names.map(async (name) => act(name));
  for (const result of results) result.catch(() => {});
  const errors: unknown[] = [];
  for (const [at, result] of results.entries()) {
    try {
      await result;
      app.out(`${names[at]}\n`);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new LighterError(kindOf(errors[0]), errors.map(messageOf).join("\n"), { cause: errors });
}
