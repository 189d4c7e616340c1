import { kindOf, messageOf } from "../base/errors.ts";
import type { Connection } from "../client/connection.ts";
import { configFolder, readConfig, type ConfigFile } from "./config-file.ts";
import { connect } from "./connect.ts";
import { print } from "./output.ts";
import type { RegistryGcCall, RegistryGcReport } from "./registry-gc.ts";
import type { RegistryServeCall } from "./registry-serve.ts";

/** What runs in the foreground and stands above the command line: `main.ts` hands it over. */
export interface Programs {
  registryServe?: (call: RegistryServeCall) => Promise<number>;
  registryGc?: (call: RegistryGcCall) => Promise<RegistryGcReport>;
}

/** The global flags, as they were given. */
export interface Globals {
  config: string;
  context: string;
  debug: boolean;
  host: string[];
  "log-level": string;
  tls: boolean;
  tlscacert: string;
  tlscert: string;
  tlskey: string;
  tlsverify: boolean;
}

/** What every command stands on: the program's name, its configuration, the daemon. All of it is made when first used. */
export class App {
  /** `docker` or `lighter`, as called. */
  readonly program: string;
  readonly globals: Globals;
  readonly folder: string;
  /** Whether our own daemon is started where none runs. */
  readonly wake: boolean;
  readonly programs: Programs;
  #config: ConfigFile | undefined;
  #connection: Promise<Connection> | undefined;

  constructor(program: string, globals: Globals, { wake = true, programs = {} }: { wake?: boolean; programs?: Programs } = {}) {
    this.wake = wake;
    this.programs = programs;
    this.program = program;
    this.globals = globals;
    this.folder = configFolder(globals.config, process.env);
  }

  get config(): ConfigFile {
    return (this.#config ??= this.#readConfig());
  }

  /** As docker, what cannot be understood is as if it were not there; it is not written over, though. */
  #readConfig(): ConfigFile {
    try {
      return readConfig(this.folder);
    } catch (error) {
      if (kindOf(error) !== "invalid") throw error;
      this.err(`WARNING: ${messageOf(error)}\n`);
      return {};
    }
  }

  /** The daemon's API; nothing is connected before the first request. */
  connection(): Promise<Connection> {
    return (this.#connection ??= connect(this));
  }

  out(text: string): void {
    print(1, text);
  }

  err(text: string): void {
    print(2, text);
  }
}
