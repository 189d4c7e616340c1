import { LighterError } from "../base/errors.ts";
import { json, param, type Answer, type Call } from "./call.ts";

/** What a Docker node outside of a swarm says to everything that needs one; clients match on it. */
const NO_SWARM =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

/** 503, which clients take as "no swarm here". */
export function noManager(message: string): Answer {
  return { status: 503, json: { message } };
}

/** Services, tasks, nodes, secrets, configs. */
export function noSwarm(): Answer {
  return noManager(NO_SWARM);
}

/** `docker swarm leave` on a node that is in none. */
export function notInSwarm(): Answer {
  return noManager("This node is not part of a swarm");
}

/** `docker swarm init` and `join`: no home-made cluster here. */
export function noCluster(): Answer {
  return noManager(
    "Lighter has no swarm: to run containers on several machines, use it under Kubernetes, which reaches it through the Container Runtime Interface",
  );
}

/** No plugins are installed. */
export function noPlugins(): Answer {
  return json([]);
}

/** Any plugin by its name. */
export function noSuchPlugin(call: Call): Answer {
  throw new LighterError("not-found", `plugin "${param(call, "name")}" not found`);
}

/** `docker plugin install`, `create` and what they ask first. */
export function pluginsUnsupported(): Answer {
  throw new LighterError("unsupported", "Cannot install a plugin: this version of Lighter runs its own drivers only");
}

/** `docker build` with the classic builder. */
export function buildUnsupported(): Answer {
  throw new LighterError("unsupported", "Cannot build: this version of Lighter has no builder yet");
}

/** BuildKit's session and gRPC. */
export function sessionUnsupported(): Answer {
  throw new LighterError("unsupported", "Cannot open a build session: this version of Lighter has no builder yet");
}

/** Nothing is cached by a builder that is not there. */
export function nothingToPrune(): Answer {
  return json({ CachesDeleted: null, SpaceReclaimed: 0 });
}

/** Updates of cluster volumes. */
export function clusterVolumesUnsupported(): Answer {
  return noManager(NO_SWARM);
}
