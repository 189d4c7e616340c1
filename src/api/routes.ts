import * as absent from "./absent.ts";
import { exportRoot, getArchive, putArchive, statPath } from "./archive.ts";
import { attachWebSocket } from "./attach-ws.ts";
import { attach } from "./attach.ts";
import type { Handle } from "./call.ts";
import * as checkpoint from "./checkpoint.ts";
import { commit } from "./commit.ts";
import * as containers from "./containers.ts";
import { distribution, search } from "./distribution.ts";
import { events } from "./events.ts";
import { exchange, pullThrough, pushThrough } from "./exchange.ts";
import { execAtOnce } from "./exec-at-once.ts";
import { createExec, inspectExec, resizeExec, startExec } from "./exec.ts";
import * as gc from "./gc.ts";
import * as images from "./images.ts";
import { clearLogs, logs } from "./logs.ts";
import * as mirrors from "./mirrors.ts";
import { NEWEST } from "./negotiate.ts";
import * as networks from "./networks.ts";
import { reachablePorts } from "./reachable-ports.ts";
import type { Route } from "./router.ts";
import { run } from "./run.ts";
import { allStats, stats } from "./stats.ts";
import * as system from "./system.ts";
import { update } from "./update.ts";
import * as volumeFiles from "./volume-files.ts";
import * as volumeRegistry from "./volume-registry.ts";
import * as volumes from "./volumes.ts";

function route(method: Route["method"], path: string, handle: Handle, since?: number): Route {
  return since === undefined ? { method, path, handle } : { method, path, handle, since };
}

/**
 * The Engine API: every operation of `reference/engine-api.json`, its handler, and the API version that brought it. The first line that fits wins.
 */
export const ROUTES: readonly Route[] = [
  route("GET", "/_ping", system.ping),
  route("HEAD", "/_ping", system.pingHead),
  route("GET", "/version", system.version),
  route("GET", "/info", system.info),
  route("GET", "/events", events),
  route("POST", "/auth", system.auth),
  route("GET", "/system/df", system.diskUsage, 25),
  // Ours; no object of Docker's is called so.
  route("POST", "/lighter/run", run, NEWEST),
  route("POST", "/lighter/containers/:id/exec", execAtOnce, NEWEST),
  route("GET", "/lighter/stats", allStats),
  route("GET", "/lighter/volumes/:name/archive", volumeFiles.backup),
  route("PUT", "/lighter/volumes/:name/archive", volumeFiles.restore),
  route("POST", "/lighter/volumes/:name/clone", volumeFiles.clone),
  route("POST", "/lighter/volumes/:name/rename", volumeFiles.rename),
  route("GET", "/lighter/volumes/usage", volumeFiles.usage),
  route("GET", "/lighter/volumes/:name/diff", volumeFiles.compare),
  route("PUT", "/lighter/volumes/:name/diff", volumeFiles.compareBackup),
  route("POST", "/lighter/volumes/:name/push", volumeRegistry.push),
  route("POST", "/lighter/volumes/pull", volumeRegistry.pull),
  route("GET", "/lighter/mirrors", mirrors.list),
  route("POST", "/lighter/mirrors", mirrors.add),
  route("DELETE", "/lighter/mirrors", mirrors.remove),
  route("POST", "/lighter/mirrors/test", mirrors.test),
  route("GET", "/lighter/ports", reachablePorts),
  route("GET", "/lighter/gc", gc.status),
  route("POST", "/lighter/gc", gc.collect),
  route("GET", "/lighter/pins", gc.pins),
  route("POST", "/lighter/pins", gc.pin),
  route("DELETE", "/lighter/pins", gc.unpin),
  route("POST", "/lighter/push", pushThrough),
  route("POST", "/lighter/pull", pullThrough),
  ...(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const).map((method) =>
    route(method, "/lighter/exchange/:rest{.+}", (call) => exchange(call, method)),
  ),

  route("GET", "/containers/json", containers.list),
  route("POST", "/containers/create", containers.create),
  route("POST", "/containers/prune", containers.prune, 25),
  route("GET", "/containers/:id/json", containers.inspect),
  route("GET", "/containers/:id/top", containers.top),
  route("GET", "/containers/:id/logs", logs),
  route("DELETE", "/containers/:id/logs", clearLogs),
  route("GET", "/containers/:id/changes", containers.changes),
  route("GET", "/containers/:id/export", exportRoot),
  route("GET", "/containers/:id/stats", stats),
  route("POST", "/containers/:id/resize", containers.resize),
  route("POST", "/containers/:id/start", containers.start),
  route("POST", "/containers/:id/stop", containers.stop),
  route("POST", "/containers/:id/restart", containers.restart),
  route("POST", "/containers/:id/kill", containers.kill),
  route("POST", "/containers/:id/update", update),
  route("POST", "/containers/:id/rename", containers.rename),
  route("POST", "/containers/:id/pause", containers.pause),
  route("POST", "/containers/:id/unpause", containers.unpause),
  route("POST", "/containers/:id/attach", attach),
  route("GET", "/containers/:id/attach/ws", attachWebSocket),
  route("POST", "/containers/:id/wait", containers.wait),
  route("DELETE", "/containers/:id", containers.remove),
  route("HEAD", "/containers/:id/archive", statPath),
  route("GET", "/containers/:id/archive", getArchive),
  route("PUT", "/containers/:id/archive", putArchive),
  route("GET", "/containers/:id/checkpoints", checkpoint.experimental(checkpoint.list), 25),
  route("POST", "/containers/:id/checkpoints", checkpoint.experimental(checkpoint.create), 25),
  route("DELETE", "/containers/:id/checkpoints/:checkpoint", checkpoint.experimental(checkpoint.remove), 25),
  route("POST", "/containers/:id/exec", createExec),
  route("POST", "/exec/:id/start", startExec),
  route("POST", "/exec/:id/resize", resizeExec),
  route("GET", "/exec/:id/json", inspectExec),

  route("GET", "/images/json", images.list),
  route("POST", "/images/create", images.create),
  route("GET", "/images/search", search),
  route("POST", "/images/prune", images.prune, 25),
  route("GET", "/images/get", images.save),
  route("POST", "/images/load", images.load),
  route("GET", "/images/:name{.+}/json", images.inspect),
  route("GET", "/images/:name{.+}/attestations", images.attestations, 55),
  route("GET", "/images/:name{.+}/history", images.history),
  route("GET", "/images/:name{.+}/get", images.save),
  route("POST", "/images/:name{.+}/push", images.push),
  route("POST", "/images/:name{.+}/tag", images.tag),
  route("DELETE", "/images/:name{.+}", images.remove),
  route("POST", "/commit", commit),
  route("GET", "/distribution/:name{.+}/json", distribution, 30),

  route("POST", "/build", absent.buildUnsupported),
  route("POST", "/build/prune", absent.nothingToPrune, 31),
  route("POST", "/session", absent.sessionUnsupported, 31),
  route("POST", "/grpc", absent.sessionUnsupported, 38),

  route("GET", "/volumes", volumes.list),
  route("POST", "/volumes/create", volumes.create),
  route("POST", "/volumes/prune", volumes.prune, 25),
  route("GET", "/volumes/:name", volumes.inspect),
  route("PUT", "/volumes/:name", absent.clusterVolumesUnsupported, 42),
  route("DELETE", "/volumes/:name", volumes.remove),

  route("GET", "/networks", networks.list),
  route("GET", "/networks/", networks.list),
  route("POST", "/networks/create", networks.create),
  route("POST", "/networks/prune", networks.prune, 25),
  route("GET", "/networks/:id{.+}", networks.inspect),
  route("POST", "/networks/:id/connect", networks.connect),
  route("POST", "/networks/:id/disconnect", networks.disconnect),
  route("DELETE", "/networks/:id{.+}", networks.remove),

  route("GET", "/plugins", absent.noPlugins),
  route("GET", "/plugins/privileges", absent.pluginsUnsupported),
  route("POST", "/plugins/pull", absent.pluginsUnsupported),
  route("POST", "/plugins/create", absent.pluginsUnsupported),
  route("GET", "/plugins/:name{.+}/json", absent.noSuchPlugin),
  route("POST", "/plugins/:name{.+}/enable", absent.noSuchPlugin),
  route("POST", "/plugins/:name{.+}/disable", absent.noSuchPlugin),
  route("POST", "/plugins/:name{.+}/upgrade", absent.noSuchPlugin),
  route("POST", "/plugins/:name{.+}/push", absent.noSuchPlugin),
  route("POST", "/plugins/:name{.+}/set", absent.noSuchPlugin),
  route("DELETE", "/plugins/:name{.+}", absent.noSuchPlugin),

  route("POST", "/swarm/init", absent.noCluster),
  route("POST", "/swarm/join", absent.noCluster),
  route("POST", "/swarm/leave", absent.notInSwarm),
  route("GET", "/swarm", absent.noSwarm),
  route("POST", "/swarm/update", absent.noSwarm),
  route("GET", "/swarm/unlockkey", absent.noSwarm),
  route("POST", "/swarm/unlock", absent.noSwarm),
  route("GET", "/nodes", absent.noSwarm),
  route("GET", "/nodes/:id", absent.noSwarm),
  route("DELETE", "/nodes/:id", absent.noSwarm),
  route("POST", "/nodes/:id/update", absent.noSwarm),
  route("GET", "/tasks", absent.noSwarm),
  route("GET", "/tasks/:id", absent.noSwarm),
  route("GET", "/tasks/:id/logs", absent.noSwarm),
  route("GET", "/services/:id/logs", absent.noSwarm),
  ...["services", "secrets", "configs"].flatMap((kind) => [
    route("GET", `/${kind}`, absent.noSwarm),
    route("POST", `/${kind}/create`, absent.noSwarm),
    route("GET", `/${kind}/:id`, absent.noSwarm),
    route("DELETE", `/${kind}/:id`, absent.noSwarm),
    route("POST", `/${kind}/:id/update`, absent.noSwarm),
  ]),
];
