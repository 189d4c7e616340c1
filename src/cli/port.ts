import { LighterError } from "../base/errors.ts";
import { inspectContainer } from "../client/containers.ts";
import type { PortBinding } from "../wire/engine-api.ts";
import { command } from "./command.ts";

/** `port`: shows where a container's ports are published. */
export const port = command({
  usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
  args: [1, 2],
  flags: {},
  async run({ args, app }) {
    const [name = "", wanted] = args;
    const { NetworkSettings } = await inspectContainer(await app.connection(), name);
    const ports = NetworkSettings?.Ports ?? {};
    if (wanted === undefined) {
      const lines = Object.entries(ports).flatMap(([key, bindings]) => (bindings ?? []).map((binding) => `${key} -> ${at(binding)}`));
      app.out(
        lines
          .sort(byPort)
          .map((line) => `${line}\n`)
          .join(""),
      );
      return;
    }
    const [number = "", proto = "tcp"] = wanted.split("/");
    checkNumber(number);
    const bindings = ports[`${number}/${proto}`];
    if (!bindings || bindings.length === 0) throw new LighterError("not-found", `Error: No public port '${wanted}' published for ${name}`);
    app.out(bindings.map((binding) => `${at(binding)}\n`).join(""));
  },
});

/** Docker's words for what is no port. */
function checkNumber(text: string): void {
  const why = !/^\d+$/.test(text) ? "invalid syntax" : Number(text) > 65535 ? "value out of range" : undefined;
  if (why !== undefined)
    throw new LighterError("invalid", `Error: invalid port (${text}): strconv.ParseUint: parsing ${JSON.stringify(text)}: ${why}`);
}

function at({ HostIp = "", HostPort = "" }: PortBinding): string {
  return HostIp.includes(":") ? `[${HostIp}]:${HostPort}` : `${HostIp}:${HostPort}`;
}

/** Numbers compare as numbers: port 80 before port 443, and then character by character. */
function byPort(a: string, b: string): number {
  return parseInt(a, 10) - parseInt(b, 10) || (a < b ? -1 : 1);
}
