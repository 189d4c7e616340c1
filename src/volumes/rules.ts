import { LighterError } from "../base/errors.ts";

/** The driver that is built in, and the only one so far. */
export const LOCAL = "local";

const OPTIONS: ReadonlySet<string> = new Set(["type", "device", "o", "size"]);

/** Refuses names that are no directory names, with Docker's texts: `-v ./dir:/x` ends up here. */
export function checkName(name: string): void {
  if (name.length === 1)
    throw new LighterError("invalid", `create ${name}: volume name is too short, names should be at least two alphanumeric characters`);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name) || name.length > 255) {
    throw new LighterError(
      "invalid",
      `create ${name}: ${JSON.stringify(name)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  }
}

/** Refuses drivers that are not here. */
export function checkDriver(name: string, driver: string): void {
  if (driver === LOCAL) return;
  throw new LighterError(
    "not-found",
    `create ${name}: error looking up volume plugin ${driver}: plugin ${JSON.stringify(driver)} not found`,
  );
}

/** Refuses options that the local driver does not know, and halves of a mount. */
export function checkOptions(name: string, options: Readonly<Record<string, string>>): void {
  const refuse = (why: string): never => {
    throw new LighterError("invalid", `create ${name}: ${why}`);
  };
  for (const key in options) if (!OPTIONS.has(key)) refuse(`invalid option: ${JSON.stringify(key)}`);
  const has = (key: string): boolean => options[key] !== undefined;
  if ((has("device") || has("o")) && !has("type")) refuse('missing required option: "type"');
  if ((has("type") || has("o")) && !has("device")) refuse('missing required option: "device"');
}
