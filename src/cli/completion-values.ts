import { readdirSync } from "node:fs";
import { inspectContainer, listContainers } from "../client/containers.ts";
import { listImages } from "../client/images.ts";
import { listMirrors } from "../client/mirrors.ts";
import { listNetworks } from "../client/networks.ts";
import { listVolumes } from "../client/volumes.ts";
import { systemInfo } from "../client/system.ts";
import type { App } from "./app.ts";
import { DEFAULT_CONTEXT } from "./connect.ts";
import { listContexts } from "./contexts.ts";

/** Something that may stand at the cursor, with what is said of it. */
export interface Candidate {
  value: string;
  help?: string;
}

/** What the shell does with the candidates beside offering them, as bits (cobra's protocol). */
export const DIRECTIVE = { error: 1, noSpace: 2, noFiles: 4, onlyFolders: 16, keepOrder: 32 } as const;

/** Candidates and what the shell does with them. */
export interface Completion {
  candidates: Candidate[];
  directive: number;
}

/** Finds the candidates for what is typed so far. */
export type Source = (app: App, typed: string) => Promise<Completion>;

/** Files of any kind: the shell finds them itself. */
export const files: Source = () => Promise.resolve({ candidates: [], directive: 0 });

/** Folders: the shell finds them itself. */
export const folders: Source = () => Promise.resolve({ candidates: [], directive: DIRECTIVE.onlyFolders });

/** Nothing at all. */
export const nothing: Source = () => Promise.resolve({ candidates: [], directive: DIRECTIVE.noFiles });

/** A fixed choice of words; those that end in `=` or `:` want more behind them. */
export function words(...values: readonly (string | Candidate)[]): Source {
  return () => Promise.resolve(offered(values.map((value) => (typeof value === "string" ? { value } : value))));
}

function offered(candidates: Candidate[], directive: number = DIRECTIVE.noFiles): Completion {
  const open = candidates.some(({ value }) => /[=:]$/.test(value));
  return { candidates, directive: open ? directive | DIRECTIVE.noSpace : directive };
}

/** Containers in one of these states, in any state when none is named. */
export function containers(...status: readonly string[]): Source {
  return async (app) => {
    const filters = status.length > 0 ? { filters: { status: [...status] } } : {};
    const list = await listContainers(await app.connection(), { all: true, ...filters });
    return offered(list.map(({ Names, Image = "", Status = "" }) => ({ value: (Names?.[0] ?? "").slice(1), help: `${Image}, ${Status}` })));
  };
}

/** Images by their names. */
export const images: Source = async (app) => {
  const list = await listImages(await app.connection());
  const names = list.flatMap(({ RepoTags }) => RepoTags ?? []).filter((tag) => tag !== "<none>:<none>");
  // A name without its tag means `latest`.
  const short = names.filter((name) => name.endsWith(":latest")).map((name) => name.slice(0, -":latest".length));
  return { candidates: [...short, ...names].sort().map((value) => ({ value })), directive: DIRECTIVE.noFiles };
};

/** Networks by their names. */
export const networks: Source = async (app) => {
  const list = await listNetworks(await app.connection());
  return offered(list.map(({ Name = "", Driver = "" }) => ({ value: Name, help: Driver })));
};

/** Registries that have mirrors. */
export const mirroredRegistries: Source = async (app) => {
  const list = await listMirrors(await app.connection());
  return offered([...new Set(list.map(({ Registry }) => Registry))].map((value) => ({ value })));
};

/** Mirrors of a registry by their URLs; of docker.io, where that was not yet said. */
export function mirrorsOf(registry = "docker.io"): Source {
  return async (app) => {
    const list = await listMirrors(await app.connection(), registry);
    return offered(list.filter(({ Source: source }) => source !== "").map(({ URL, Source: source }) => ({ value: URL, help: source })));
  };
}

/** Volumes by their names. */
export const volumes: Source = async (app) => {
  const { Volumes } = await listVolumes(await app.connection());
  return offered((Volumes ?? []).map(({ Name, Driver }) => ({ value: Name, help: Driver })));
};

/** Contexts by their names; `default` too where it may be named. */
export function contexts(options: { standing: boolean }): Source {
  return (app) => {
    const others = listContexts(app.folder).map(({ Name, Metadata }) => ({ value: Name, help: Metadata.Description ?? "" }));
    return Promise.resolve(offered([...(options.standing ? [{ value: DEFAULT_CONTEXT }] : []), ...others]));
  };
}

/** The published ports of the container that stands before. */
export function portsOf(name: string): Source {
  return async (app) => {
    const { NetworkSettings } = await inspectContainer(await app.connection(), name);
    return offered(Object.keys(NetworkSettings?.Ports ?? {}).map((value) => ({ value })));
  };
}

/** The OCI runtimes that the daemon knows. */
export const runtimes: Source = async (app) =>
  offered(Object.keys((await systemInfo(await app.connection())).Runtimes ?? {}).map((value) => ({ value })));

/** Drivers of a kind that the daemon knows. */
export function drivers(kind: "Volume" | "Network" | "Log"): Source {
  return async (app) => offered(((await systemInfo(await app.connection())).Plugins?.[kind] ?? []).map((value) => ({ value })));
}

/** Names of the environment. */
export const environment: Source = () => Promise.resolve(offered(Object.keys(process.env).map((value) => ({ value }))));

/** All that several sources find; the first one's word on files holds. */
export function together(...sources: readonly Source[]): Source {
  return async (app, typed) => {
    const found = await Promise.all(sources.map((source) => source(app, typed)));
    return {
      candidates: found.flatMap(({ candidates }) => candidates),
      directive: found.reduce((bits, { directive }) => bits | directive, 0),
    };
  };
}

/** Containers as `cp` names them, and files: what has a colon or could get one. */
export const copyPaths: Source = async (app, typed) => {
  if (typed.includes(":") || typed.startsWith("/") || typed.startsWith(".")) return { candidates: [], directive: 0 };
  const { candidates } = await containers()(app, typed);
  const local = readdirSync(".", { withFileTypes: true }).map((entry) => ({ value: entry.isDirectory() ? `${entry.name}/` : entry.name }));
  return {
    candidates: [...candidates.map(({ value, help = "" }) => ({ value: `${value}:`, help })), ...local],
    directive: DIRECTIVE.noSpace | DIRECTIVE.noFiles,
  };
};
