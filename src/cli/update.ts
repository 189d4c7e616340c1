import { resolve } from "node:path";
import { LighterError, messageOf } from "../base/errors.ts";
import type { Connection } from "../client/connection.ts";
import { inspectContainer, updateContainer, type UpdateBody } from "../client/containers.ts";
import { command, MANY } from "./command.ts";
import { environmentOf, healthActionLabel, healthOf, restartPolicy } from "./create-body.ts";
import { keyValue, type Values } from "./flags.ts";
import { isUserDefined } from "./network-flag.ts";
import { egressLabel } from "./egress-flags.ts";
import { parsePorts } from "./ports.ts";
import { UPDATE_FLAGS } from "./update-flags.ts";

type UpdateValues = Values<typeof UPDATE_FLAGS>;
type Edit = NonNullable<UpdateBody["Lighter"]>;
const NONE = "you must provide one or more flags when using this command";

/** `update`: changes containers that exist; tells what waits for their next start. */
export const update = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  args: [1, MANY],
  flags: UPDATE_FLAGS,
  async run({ flags, given, args, app }) {
    const some = Object.keys(UPDATE_FLAGS).some((name) => given(name as keyof typeof UPDATE_FLAGS));
    if (!some) throw new LighterError("invalid", NONE);
    const body = updateBody(flags, given);
    const connection = await app.connection();
    const warnings: string[] = [];
    const errors: string[] = [];
    for (const name of args) {
      try {
        const answer = await updateContainer(connection, name, await withAliases(connection, name, body, flags));
        warnings.push(...(answer.Warnings ?? []));
        for (const what of answer.Pending ?? []) warnings.push(`${name}: ${what} takes effect at the next start`);
        app.out(`${name}\n`);
      } catch (error) {
        errors.push(messageOf(error));
      }
    }
    for (const warning of warnings) app.err(`${warning}\n`);
    if (errors.length > 0) throw new LighterError("invalid", errors.join("\n"));
  },
});

/** What the flags ask for; only what was given is named, so that nothing else changes. */
export function updateBody(flags: UpdateValues, given: (name: keyof UpdateValues) => boolean): UpdateBody {
  const edit = editOf(flags, given);
  const body: UpdateBody = {
    BlkioWeight: flags["blkio-weight"],
    BlkioWeightDevice: flags["blkio-weight-device"],
    BlkioDeviceReadBps: flags["device-read-bps"],
    BlkioDeviceReadIOps: flags["device-read-iops"],
    BlkioDeviceWriteBps: flags["device-write-bps"],
    BlkioDeviceWriteIOps: flags["device-write-iops"],
    CpuPeriod: flags["cpu-period"],
    CpuQuota: flags["cpu-quota"],
    CpuRealtimePeriod: flags["cpu-rt-period"],
    CpuRealtimeRuntime: flags["cpu-rt-runtime"],
    CpuShares: flags["cpu-shares"],
    NanoCpus: flags.cpus,
    CpusetCpus: flags["cpuset-cpus"],
    CpusetMems: flags["cpuset-mems"],
    Memory: flags.memory,
    MemoryReservation: flags["memory-reservation"],
    MemorySwap: flags["memory-swap"],
  };
  for (const [key, value] of Object.entries(body)) if (isEmpty(value)) delete body[key as keyof UpdateBody];
  if (given("pids-limit")) body.PidsLimit = flags["pids-limit"];
  if (flags.restart !== "") body.RestartPolicy = restartPolicy(flags.restart);
  return Object.keys(edit).length === 0 ? body : { ...body, Lighter: edit };
}

function isEmpty(value: unknown): boolean {
  return value === "" || value === 0 || (Array.isArray(value) && value.length === 0);
}

function editOf(flags: UpdateValues, given: (name: keyof UpdateValues) => boolean): Edit {
  const edit: Edit = {};
  if (given("env") || given("env-file") || given("env-rm")) edit.Env = { Set: environmentOf(flags, process.env), Remove: flags["env-rm"] };
  if (given("label") || given("label-rm") || given("health-on-failure") || given("egress") || given("egress-allow")) {
    const ours = { ...healthActionLabel(flags["health-on-failure"]), ...egressLabel(flags) };
    edit.Labels = { Set: { ...keyValues(flags.label), ...ours }, Remove: flags["label-rm"] };
  }
  if (given("log-opt") || given("log-opt-rm")) edit.LogOptions = { Set: keyValues(flags["log-opt"]), Remove: flags["log-opt-rm"] };
  if (given("publish-all")) edit.PublishAllPorts = flags["publish-all"];
  const health = healthOf(flags, given);
  if (health !== undefined) edit.Healthcheck = health;
  if (given("publish") || given("publish-rm")) edit.Ports = { Add: parsePorts(flags.publish, []).bindings, Remove: flags["publish-rm"] };
  if (given("volume") || given("mount") || given("mount-rm"))
    edit.Mounts = { Binds: flags.volume.map(absolute), Mounts: flags.mount, Remove: flags["mount-rm"] };
  if (given("hostname")) edit.Hostname = flags.hostname;
  if (given("domainname")) edit.Domainname = flags.domainname;
  if (given("user")) edit.User = flags.user;
  if (given("workdir")) edit.WorkingDir = flags.workdir;
  if (given("stop-signal")) edit.StopSignal = flags["stop-signal"];
  if (given("stop-timeout")) edit.StopTimeout = flags["stop-timeout"];
  return edit;
}

function keyValues(list: readonly string[]): Record<string, string> {
  return Object.assign({}, ...list.map(keyValue)) as Record<string, string>;
}

/** A source that begins with a dot is this machine's and relative to where we are. */
function absolute(spec: string): string {
  const [source = "", ...rest] = spec.split(":");
  return rest.length > 0 && /^\.\.?(?:\/|$)/.test(source) ? [resolve(source), ...rest].join(":") : spec;
}

/** Aliases need a network: the one that was named, or the only one that has names. */
async function withAliases(connection: Connection, name: string, body: UpdateBody, flags: UpdateValues): Promise<UpdateBody> {
  const change = { Add: flags["network-alias"], Remove: flags["network-alias-rm"] };
  if (change.Add.length + change.Remove.length === 0) return body;
  const network = flags.network !== "" ? flags.network : await onlyNetwork(connection, name);
  return { ...body, Lighter: { ...body.Lighter, Aliases: { [network]: change } } };
}

async function onlyNetwork(connection: Connection, name: string): Promise<string> {
  const { NetworkSettings } = await inspectContainer(connection, name);
  const networks = Object.keys(NetworkSettings?.Networks ?? {}).filter(isUserDefined);
  const [only] = networks;
  if (only !== undefined && networks.length === 1) return only;
  const why =
    only === undefined ? "it is in no network of a user" : `it is in several networks: say which by --network (${networks.join(", ")})`;
  throw new LighterError("invalid", `Cannot change the network aliases of container "${name}": ${why}`);
}
