import { accessSync, constants, statSync } from "node:fs";
import { basename } from "node:path";
import { LighterError } from "../base/errors.ts";
import type { RuntimeRecord } from "./runtime.ts";
import { examine, versionText } from "./runtimes.ts";

/** What every OCI runtime can be told to do. https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#operations */
const COMMANDS = ["state", "create", "start", "kill", "delete"];

/** OCI runtimes that are named by the absolute path of their program: examined once, when somebody first asks for one. */
export class RuntimePaths {
  readonly #records = new Map<string, Promise<RuntimeRecord>>();
  readonly #known = new Map<string, RuntimeRecord>();

  /** Sees to it that {@link get} knows a runtime by path; other names are nothing to do. Throws `invalid` for what is no program, or no OCI runtime. */
  async learn(name: string): Promise<void> {
    if (!name.startsWith("/")) return;
    checkProgram(name);
    let record = this.#records.get(name);
    if (record === undefined) this.#records.set(name, (record = examineProgram(name)));
    try {
      this.#known.set(name, await record);
    } catch (error) {
      // What stands there may be replaced.
      this.#records.delete(name);
      throw error;
    }
  }

  get(name: string): RuntimeRecord | undefined {
    return this.#known.get(name);
  }
}

function checkProgram(path: string): void {
  const refuse = (why: string): never => {
    throw new LighterError("invalid", `Cannot use runtime ${JSON.stringify(path)}: ${why}`);
  };
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) refuse("there is no such file");
  if (found?.isFile() !== true) refuse("it is no file");
  if (basename(path).startsWith("containerd-shim"))
    refuse("it is a shim of containerd, which Lighter does without; name the OCI runtime itself (crun, runc, runsc, kata-runtime)");
  try {
    accessSync(path, constants.X_OK);
  } catch {
    refuse("it is not executable");
  }
}

async function examineProgram(path: string): Promise<RuntimeRecord> {
  const [version, help] = await Promise.all([versionText(path), versionText(path, "--help")]);
  if (!COMMANDS.every((command) => new RegExp(`\\b${command}\\b`).test(help)) && !/\bspec\b/i.test(version))
    throw new LighterError("invalid", `Cannot use runtime ${JSON.stringify(path)}: it does not answer as an OCI runtime`);
  return examine(path, path);
}
