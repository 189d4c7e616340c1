import { command } from "./command.ts";
import { authKey, eraseCredentials, HUB_KEY } from "./credentials.ts";

/** `logout`: forgets the login at a registry. */
export const logout = command({
  usage: "[SERVER]",
  args: [0, 1],
  flags: {},
  async run({ args, app }) {
    const registry = (args[0] ?? "").replace(/^https?:\/\//, "").replace(/\/.*$/, "");
    const key = registry === "" ? HUB_KEY : authKey(registry);
    app.out(`Removing login credentials for ${key}\n`);
    const failures = Object.entries(await eraseCredentials(app, key));
    if (failures.length > 0)
      app.err(`WARNING: could not erase credentials:\n${failures.map(([name, why]) => `${name}: ${why}\n`).join("")}`);
  },
});
