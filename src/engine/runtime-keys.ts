import { LighterError } from "../base/errors.ts";
import type { EngineConfig } from "./config.ts";
import { isObject, wrongValue } from "./key-values.ts";

type Runtimes = EngineConfig["runtimes"];

/** What containerd calls the OCI runtimes that it starts by a program's name. */
const RUNC_SHIM = /^io\.containerd\.runc\.v\d$/;

/**
 * Reads "runtimes" of daemon.json: programs by `path` with `runtimeArgs`, or by a `runtimeType` that stands for one. Others are left out with a note.
 * Throws `invalid` in Docker's words where it has some.
 */
export function parseRuntimes(value: unknown, notes: string[]): Runtimes {
  if (!isObject(value)) throw wrongValue("runtimes", 'an object like {"kata": {"path": "/usr/bin/kata-runtime"}}');
  const runtimes: Runtimes = {};
  for (const [name, given] of Object.entries(value)) {
    const found = runtimeOf(name, given);
    if (typeof found === "string") notes.push(found);
    else runtimes[name] = found;
  }
  return runtimes;
}

/** One runtime, or why it is left out. */
function runtimeOf(name: string, given: unknown): Runtimes[string] | string {
  const wrong = (why: string): LighterError => new LighterError("invalid", `Cannot use "runtimes": runtime "${name}": ${why}`);
  if (!isObject(given)) throw wrong("it must be an object");
  const { path, runtimeArgs, runtimeType, options } = given;
  if (path !== undefined && runtimeType !== undefined && path !== "" && runtimeType !== "")
    throw wrong("cannot configure both runtimeType and path");
  if (typeof path === "string" && path !== "") {
    if (runtimeArgs === undefined || runtimeArgs === null) return { path };
    if (!Array.isArray(runtimeArgs) || !runtimeArgs.every((item) => typeof item === "string"))
      throw wrong("runtimeArgs must be a list of strings");
    return { path, runtimeArgs };
  }
  if (typeof runtimeType !== "string" || runtimeType === "") throw wrong("either a runtimeType or a path must be configured");
  const binary = isObject(options) ? options["BinaryName"] : undefined;
  if (RUNC_SHIM.test(runtimeType)) return { path: typeof binary === "string" && binary !== "" ? binary : "runc" };
  return `runtime "${name}" is left out: ${runtimeType} is a part of containerd, which is not used here; give the "path" of its program, if that is an OCI runtime`;
}
