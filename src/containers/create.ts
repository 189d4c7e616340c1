import { hostname as machineName } from "node:os";
import { now } from "../base/clock.ts";
import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { newId, shortId } from "../base/ids.ts";
import { randomName } from "../base/names.ts";
import type { ContainerConfig, HostConfig } from "../wire/engine-api.ts";
import { capabilitiesOf } from "./capabilities.ts";
import type { CreateBody } from "./containers.ts";
import { type Context, find, tell } from "./context.ts";
import { nameTarget } from "./debug.ts";
import type { Desired } from "./desired.ts";
import { checkDevices } from "./devices.ts";
import { checkCgroupParent } from "./cgroup-parent.ts";
import { checkIdMaps } from "./id-mappings.ts";
import { checkFar } from "./far-files.ts";
import { fillHostConfig } from "./host-config.ts";
import { initProgram } from "./init-program.ts";
import { insertLinks } from "./link-rows.ts";
import { planLinks } from "./links.ts";
import { mergeConfig } from "./merge-config.ts";
import { networkRequest } from "./network-request.ts";
import { planMounts } from "./plan-mounts.ts";
import { platformWarning } from "./platform-warning.ts";
import { readySoon } from "./ready.ts";
import { type ContainerRow, idOfName, insertRow } from "./rows.ts";
import { mayRaiseLimits, oomScoreOf } from "./spec.ts";
import { refuseNul } from "./strings.ts";
import { traceOf } from "./trace.ts";
import { checkUsers, usersOf } from "./users.ts";
import { rlimitsOf } from "./ulimits.ts";
import { thisMachine, validateResources } from "./validate-resources.ts";
import { checkStorageSize } from "./storage-size.ts";
import { validateConfig, validateName } from "./validate.ts";
import { referenceVolumes } from "./volume-references.ts";

/** Makes a container: checks everything with Docker's texts, and stores row, volume references and event in one transaction; its directories are made right after. */
export async function createContainer(
  context: Context,
  name: string | undefined,
  body: CreateBody,
  options: { platform?: string; signal?: AbortSignal },
): Promise<{ id: string; warnings: string[] }> {
  const { needs } = context;
  const id = newId();
  const trace = traceOf("create", id);
  refuseNul(body);
  needs.runtime.warm();
  const given = name === undefined || name === "" ? undefined : validateName(name);
  const image = await trace.span("image", () => needs.images.runnable(body.Image ?? "", options));
  await needs.runtime.learn(body.HostConfig?.Runtime ?? "");
  for (const { Type, Source } of body.HostConfig?.Mounts ?? []) if (Type === "bind" && Source) await checkFar(Source);
  const plan = trace.sync("plan", () => planContainer(context, id, body, image));
  plan.desired.warnings.push(...platformWarning(image.platform, options.platform));
  const row = { id, name: chooseName(context, given), created: now(), desired: plan.desired };
  ifThere(() => needs.networks.check(networkRequest(row)));
  trace.sync("transaction", () =>
    needs.state.write(
      (tx) => {
        insertRow(tx, {
          ...row,
          image: image.id,
          manifest: image.manifest,
          chainId: image.chainId,
          runtime: plan.runtime,
          autoRemove: plan.autoRemove,
        });
        insertLinks(tx, id, plan.links);
        asInvalid(() => referenceVolumes(context, tx, id, plan.desired.mounts));
        needs.images.touch(tx, image.id);
        tell(tx, row, "create");
      },
      { durable: !plan.autoRemove },
    ),
  );
  readySoon(context, id);
  trace.end();
  return { id, warnings: plan.desired.warnings };
}

type Image = Awaited<ReturnType<Context["needs"]["images"]["runnable"]>>;

function planContainer(
  context: Context,
  id: string,
  body: CreateBody,
  image: Image,
): { desired: Desired; links: ReturnType<typeof planLinks>; runtime: string; autoRemove: boolean } {
  const { HostConfig: askedHost, NetworkingConfig: networking, ...askedConfig } = body;
  const { options, runtime } = context.needs;
  const host = fillHostConfig(askedHost ?? {}, {
    logDriver: options.defaultLogDriver,
    logOptions: options.defaultLogOptions,
    shmSize: options.defaultShmSize,
    runtime: options.defaultRuntime,
    cgroupVersion: runtime.cgroup.version,
    init: options.init,
    containers: options.defaults,
  });
  const config = mergeConfig(askedConfig, image.config.config ?? {});
  validateConfig(config, host);
  checkStorageSize(host, options);
  const record = runtime.record(host.Runtime ?? "");
  host.Runtime ||= record.name;
  checkCgroupParent(host, runtime.cgroup.driver);
  if (host.Init) initProgram(options.defaults.initPath);
  nameTarget(context, host);
  asInvalid(() => nameJoined(context, host));
  const links = asInvalid(() => planLinks(context, host));
  const users = usersOf(context, host);
  const warnings = warningsOf(context, host, users);
  const mounts = asInvalid(() => planMounts(config, host, (other) => find(context, other).desired.mounts));
  checkIdMaps(mounts, record);
  checkUsers({ mounts, ...(users && { users }) });
  config.Hostname = hostnameOf(context, id, config, host);
  const desired: Desired = {
    v: 1,
    config,
    hostConfig: host,
    endpoints: networking?.EndpointsConfig ?? {},
    mounts,
    configDigest: image.configDigest,
    os: image.platform.os,
    warnings,
    ...(users && { users }),
  };
  return { desired, links, runtime: record.name, autoRemove: host.AutoRemove ?? false };
}

/** Checks limits, capabilities and devices; what this machine cannot do becomes a warning or an error, as with Docker. */
function warningsOf(context: Context, host: HostConfig, users: Desired["users"]): string[] {
  const warnings = validateResources(host, thisMachine(context.needs.runtime.cgroup));
  const { missing } = capabilitiesOf({ add: host.CapAdd ?? [], drop: host.CapDrop ?? [], privileged: host.Privileged ?? false });
  for (const name of missing) warnings.push(`capability ${name} was left out: this machine does not allow it`);
  checkDevices(host);
  const mayRaise = mayRaiseLimits(users);
  warnings.push(...rlimitsOf(host.Ulimits ?? [], { mayRaise }).warnings);
  const score = host.OomScoreAdj ?? 0;
  if (score !== 0 && score < 0 && oomScoreOf(score, mayRaise) === undefined)
    warnings.push(`oom-score-adj ${score} was left out: this machine does not allow lowering it`);
  if (host.NetworkMode === "host" && Object.keys(host.PortBindings ?? {}).length > 0)
    warnings.push("Published ports are discarded when using host network mode");
  return warnings;
}

/**
 * Containers whose namespaces are shared or that are linked must exist; those shared are kept by id, since names change.
 * The one whose network is joined may come later, as with Docker: the start asks for it again.
 */
function nameJoined(context: Context, host: HostConfig): void {
  for (const key of ["NetworkMode", "PidMode", "IpcMode"] as const) {
    const mode = host[key];
    if (!mode?.startsWith("container:")) continue;
    const named = (): ContainerRow => find(context, mode.slice("container:".length));
    const joined = key === "NetworkMode" ? ifThere(named) : named();
    if (joined !== undefined) host[key] = `container:${joined.id}`;
  }
  for (const link of host.Links ?? []) {
    const [other = ""] = link.split(":");
    asInvalid(
      () => find(context, other),
      (why) => `could not get container for ${other}: ${why}`,
    );
  }
}

/** What a request names beside the image and does not exist makes the request wrong: clients take 404 for "no such image", and pull. */
function asInvalid<T>(work: () => T, say: (why: string) => string = String): T {
  try {
    return work();
  } catch (error) {
    if (kindOf(error) !== "not-found") throw error;
    throw new LighterError("invalid", say(messageOf(error)), { cause: error });
  }
}

/** A network, or the container whose network is joined, that is not there yet: the start says so, as Docker's does. */
function ifThere<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (kindOf(error) !== "not-found") throw error;
    return undefined;
  }
}

function hostnameOf(context: Context, id: string, config: ContainerConfig, host: HostConfig): string {
  if (config.Hostname) return config.Hostname;
  if (host.NetworkMode === "host" || host.UTSMode === "host") return machineName();
  const joined = host.NetworkMode?.startsWith("container:") ? host.NetworkMode.slice("container:".length) : undefined;
  if (joined === undefined) return shortId(id);
  return ifThere(() => find(context, joined))?.desired.config.Hostname ?? shortId(id);
}

function chooseName(context: Context, given: string | undefined): string {
  if (given === undefined) {
    for (let attempt = 0; ; attempt++) {
      const name = randomName(attempt);
      if (idOfName(context.needs.state, name) === undefined) return name;
    }
  }
  const holder = idOfName(context.needs.state, given);
  if (holder !== undefined) throw nameConflict(given, holder);
  return given;
}

/** Docker's sentence for a name in use. */
export function nameConflict(name: string, holder: string): LighterError {
  return new LighterError(
    "conflict",
    `Conflict. The container name "/${name}" is already in use by container "${holder}". You have to remove (or rename) that container to be able to reuse that name.`,
  );
}
