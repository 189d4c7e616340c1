import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import type { App } from "./app.ts";
import { goField } from "./go-field.ts";

/** Looks one object up by name or id. */
export type Lookup = (name: string) => Promise<unknown>;

/** Fields that the API leaves out when they are empty, and that templates may ask for all the same: they are nil then. */
const OPTIONAL = new Set(
  "Health Healthcheck StopSignal StopTimeout OnBuild ExposedPorts Volumes NetworkDisabled MacAddress Shell ArgsEscaped Mounts Init Tmpfs Sysctls Runtime StorageOpt Annotations SizeRw SizeRootFs GraphDriver Storage MaskedPaths ReadonlyPaths Labels Entrypoint Cmd Env Status UsageData ConfigFrom Peers Services Variant Parent Author Comment DockerVersion ContainerConfig Descriptor Identity ImageManifestDescriptor".split(
    " ",
  ),
);

/** docker's exit code for a template that cannot be read. */
const BAD_TEMPLATE = 64;

/**
 * Prints objects as an indented JSON list or through a Go template, one a line. What was found is printed before the
 * error about what was not.
 */
export async function inspectObjects(app: App, names: readonly string[], format: string, lookup: Lookup): Promise<number> {
  let show;
  try {
    show = await renderer(format);
  } catch (error) {
    app.err(`${messageOf(error)}\n`);
    return BAD_TEMPLATE;
  }
  const shown: string[] = [];
  const errors: unknown[] = [];
  for (const name of names) {
    try {
      shown.push(show(await lookup(name)));
    } catch (error) {
      errors.push(error);
      // A template that does not fit fails for every object alike.
      if (kindOf(error) === "invalid") break;
    }
  }
  if (format === "" || format === "json") app.out(format === "json" ? shown.map((text) => `${text}\n`).join("") : jsonList(shown));
  else app.out(shown.length === 0 ? "\n" : shown.map((text) => `${text}\n`).join(""));
  if (errors.length === 0) return 0;
  throw new LighterError(kindOf(errors[0]), errors.map(messageOf).join("\n"));
}

function jsonList(shown: readonly string[]): string {
  return shown.length === 0 ? "[]\n" : `[\n${shown.join(",\n")}\n]\n`;
}

async function renderer(format: string): Promise<(object: unknown) => string> {
  if (format === "") return (object) => JSON.stringify(object, null, 4).replace(/^/gm, "    ");
  if (format === "json") return (object) => JSON.stringify(object);
  const { compileTemplate } = await import("./template.ts");
  try {
    const template = compileTemplate(format, {
      alias: goField,
      missing: (field) => (OPTIONAL.has(field) ? undefined : `map has no entry for key ${JSON.stringify(field)}`),
    });
    return (object) => {
      try {
        return template(object);
      } catch (error) {
        throw new LighterError("invalid", `template parsing error: ${messageOf(error)}`, { cause: error });
      }
    };
  } catch (error) {
    throw new LighterError("invalid", `template parsing error: ${messageOf(error)}`, { cause: error });
  }
}
