import { readlinkSync } from "node:fs";
import { KernelFile } from "../linux/kernel-file.ts";
import { interfaces } from "./interfaces.ts";
import type { InterfaceUsage } from "./usage.ts";

/**
 * Reads the counters of a process's network interfaces. An open `net/dev` keeps the namespace alive, so it must be given back (`rest`) when the
 * container ends.
 */
export class NetworkMeter {
  readonly #file: KernelFile;
  readonly #pid: number;
  #own: boolean | undefined;

  constructor(pid: number) {
    this.#pid = pid;
    this.#file = new KernelFile(`/proc/${pid}/net/dev`);
  }

  /** Undefined where the process is in the host's network, or has gone. */
  read(): Record<string, InterfaceUsage> | undefined {
    this.#own ??= namespaceOf(this.#pid) !== namespaceOf("self");
    return this.#own ? this.#file.scan(interfaces) : undefined;
  }

  rest(): void {
    this.#file.rest();
  }
}

function namespaceOf(pid: number | "self"): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return "";
  }
}
