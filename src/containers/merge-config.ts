import type { RunConfig } from "../oci/image.ts";
import type { ContainerConfig } from "../wire/engine-api.ts";
import { EGRESS_LABEL } from "../wire/labels.ts";

/**
 * A container's configuration: what the caller said, and the image's where the caller said nothing. Every field that inspect shows is set.
 * A command given alone keeps the image's entrypoint; an entrypoint given drops the image's command.
 */
export function mergeConfig(asked: ContainerConfig, image: RunConfig): ContainerConfig {
  const entrypoint = words(asked.Entrypoint);
  const cmd = words(asked.Cmd);
  const noEntrypoint = entrypoint === undefined || entrypoint.length === 0;
  const takeCmd = noEntrypoint && (cmd === undefined || cmd.length === 0);
  const chosenEntrypoint = entrypoint ?? image.Entrypoint ?? undefined;
  const merged: ContainerConfig = {
    Hostname: asked.Hostname ?? "",
    Domainname: asked.Domainname ?? "",
    User: asked.User || image.User || "",
    AttachStdin: asked.AttachStdin ?? false,
    AttachStdout: asked.AttachStdout ?? false,
    AttachStderr: asked.AttachStderr ?? false,
    Tty: asked.Tty ?? false,
    OpenStdin: asked.OpenStdin ?? false,
    StdinOnce: asked.StdinOnce ?? false,
    Env: mergeEnv(asked.Env ?? [], image.Env ?? []),
    Cmd: orNull(takeCmd ? (image.Cmd ?? undefined) : cmd),
    Image: asked.Image ?? "",
    Volumes: orNull(union(asked.Volumes ?? undefined, image.Volumes ?? undefined)),
    WorkingDir: asked.WorkingDir || image.WorkingDir || "",
    Entrypoint: orNull(chosenEntrypoint?.length === 1 && chosenEntrypoint[0] === "" ? undefined : chosenEntrypoint),
    OnBuild: null,
    Labels: { ...imageLabels(image), ...asked.Labels },
  };
  const exposed = union(asked.ExposedPorts ?? undefined, image.ExposedPorts ?? undefined);
  if (exposed !== undefined) merged.ExposedPorts = exposed;
  const health = mergeHealth(asked.Healthcheck, image.Healthcheck);
  if (health !== undefined) merged.Healthcheck = health;
  const stopSignal = asked.StopSignal || image.StopSignal;
  if (stopSignal) merged.StopSignal = stopSignal;
  if (asked.StopTimeout !== undefined && asked.StopTimeout !== null) merged.StopTimeout = asked.StopTimeout;
  const shell = asked.Shell ?? image.Shell;
  if (shell) merged.Shell = shell;
  if (asked.NetworkDisabled) merged.NetworkDisabled = true;
  return merged;
}

/** What an image says of itself; what its containers may reach is for who runs them to say. */
function imageLabels({ Labels }: RunConfig): Record<string, string> {
  return Object.fromEntries(Object.entries(Labels ?? {}).filter(([name]) => name !== EGRESS_LABEL));
}

/** A list of words; clients may send one word as a plain string. */
function words(value: string[] | string | null | undefined): string[] | undefined {
  if (value === null || value === undefined) return undefined;
  return typeof value === "string" ? [value] : value;
}

/** Docker shows null where nothing was said; its own schema, from which the types come, does not admit it. */
function orNull<T>(value: T | undefined): T {
  return (value ?? null) as T;
}

function union(
  asked: Record<string, Record<string, unknown>> | undefined,
  image: Record<string, object> | undefined,
): Record<string, Record<string, unknown>> | undefined {
  const keys = [...Object.keys(asked ?? {}), ...Object.keys(image ?? {})];
  return keys.length === 0 ? undefined : Object.fromEntries(keys.map((key) => [key, {}]));
}

function mergeEnv(asked: string[], image: string[]): string[] {
  const nameOf = (entry: string): string => entry.split("=", 1)[0] ?? "";
  const names = new Set(asked.map(nameOf));
  return [...asked, ...image.filter((entry) => !names.has(nameOf(entry)))];
}

function mergeHealth(asked: ContainerConfig["Healthcheck"], image: RunConfig["Healthcheck"]): ContainerConfig["Healthcheck"] {
  if (!asked) return image;
  if (!image) return asked;
  const test = asked.Test?.length ? asked.Test : image.Test;
  return {
    ...image,
    ...Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== 0 && value !== undefined && value !== null)),
    ...(test === undefined ? {} : { Test: test }),
  };
}
