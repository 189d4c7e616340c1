import type { Command } from "./command.ts";

/** A command's place: what it does in a line, and its code, loaded when it is called. */
export interface Entry {
  help: string;
  load: () => Promise<Command>;
  /** Called by programs, not by people: not in the lists. */
  hidden?: boolean;
}

/** Every command by the words that call it. */
export const TABLE: Readonly<Record<string, Entry>> = {
  run: { help: "Make a container from an image and run it", load: async () => (await import("./run.ts")).run },
  "container run": { help: "Make a container from an image and run it", load: async () => (await import("./run.ts")).run },
  exec: { help: "Run a command in a running container", load: async () => (await import("./exec.ts")).exec },
  "container exec": { help: "Run a command in a running container", load: async () => (await import("./exec.ts")).exec },
  ps: { help: "Show containers", load: async () => (await import("./ps.ts")).ps },
  pull: { help: "Fetch an image from a registry", load: async () => (await import("./pull.ts")).pull },
  "image pull": { help: "Fetch an image from a registry", load: async () => (await import("./pull.ts")).pull },
  ports: { help: "Show published ports and what the outside can reach", load: async () => (await import("./list-ports.ts")).listPorts },
  gc: { help: "Remove images that nothing needs, by a policy", load: async () => (await import("./gc.ts")).gc },
  search: { help: "Look for repositories in a registry", load: async () => (await import("./search.ts")).search },
  "manifest annotate": {
    help: "Say which platform an image of a list is for",
    load: async () => (await import("./manifest-annotate.ts")).manifestAnnotate,
  },
  "manifest create": {
    help: "Make a list of images of several platforms",
    load: async () => (await import("./manifest-create.ts")).manifestCreate,
  },
  "manifest inspect": {
    help: "Show a manifest or a list of them",
    load: async () => (await import("./manifest-inspect.ts")).manifestInspect,
  },
  "manifest push": { help: "Send a list to a registry", load: async () => (await import("./manifest-push.ts")).manifestPush },
  "manifest rm": { help: "Remove lists from this machine", load: async () => (await import("./manifest-rm.ts")).manifestRm },
  push: { help: "Send an image to a registry", load: async () => (await import("./push.ts")).push },
  "image push": { help: "Send an image to a registry", load: async () => (await import("./push.ts")).push },
  images: { help: "Show images", load: async () => (await import("./images.ts")).images },
  login: { help: "Sign in to a registry", load: async () => (await import("./login.ts")).login },
  logout: { help: "Sign out of a registry", load: async () => (await import("./logout.ts")).logout },
  version: { help: "Show the versions of client and server", load: async () => (await import("./version.ts")).version },
  info: { help: "Show what the daemon is and has", load: async () => (await import("./info.ts")).info },
  "system info": { help: "Show what the daemon is and has", load: async () => (await import("./info.ts")).info },
  attach: { help: "Connect the terminal to a running container", load: async () => (await import("./attach.ts")).attach },
  "container attach": { help: "Connect the terminal to a running container", load: async () => (await import("./attach.ts")).attach },
  "checkpoint create": {
    help: "Write a container's processes down, to go on from there later",
    load: async () => (await import("./checkpoint-create.ts")).checkpointCreate,
  },
  "checkpoint ls": { help: "Show the checkpoints of a container", load: async () => (await import("./checkpoint-ls.ts")).checkpointLs },
  "checkpoint rm": { help: "Remove a checkpoint", load: async () => (await import("./checkpoint-rm.ts")).checkpointRm },
  commit: { help: "Make an image of what a container has changed", load: async () => (await import("./commit.ts")).commit },
  "container commit": { help: "Make an image of what a container has changed", load: async () => (await import("./commit.ts")).commit },
  cp: { help: "Copy files between a container and this machine", load: async () => (await import("./cp.ts")).cp },
  "container cp": { help: "Copy files between a container and this machine", load: async () => (await import("./cp.ts")).cp },
  create: { help: "Make a container without starting it", load: async () => (await import("./create.ts")).create },
  "container create": { help: "Make a container without starting it", load: async () => (await import("./create.ts")).create },
  debug: { help: "Open a shell with tools in a container or an image", load: async () => (await import("./debug.ts")).debug },
  diff: { help: "Show what changed in a container's file system", load: async () => (await import("./diff.ts")).diff },
  "container diff": { help: "Show what changed in a container's file system", load: async () => (await import("./diff.ts")).diff },
  events: { help: "Show what happens in the daemon as it happens", load: async () => (await import("./events.ts")).events },
  "system events": { help: "Show what happens in the daemon as it happens", load: async () => (await import("./events.ts")).events },
  export: { help: "Write a container's file system as a tar archive", load: async () => (await import("./export.ts")).exportContainer },
  "container export": {
    help: "Write a container's file system as a tar archive",
    load: async () => (await import("./export.ts")).exportContainer,
  },
  history: { help: "Show the steps that an image was made by", load: async () => (await import("./history.ts")).history },
  "image history": { help: "Show the steps that an image was made by", load: async () => (await import("./history.ts")).history },
  import: { help: "Make an image from a tar archive of a file system", load: async () => (await import("./import-image.ts")).importImage },
  "image import": {
    help: "Make an image from a tar archive of a file system",
    load: async () => (await import("./import-image.ts")).importImage,
  },
  inspect: { help: "Show everything about an object as JSON", load: async () => (await import("./inspect.ts")).inspect },
  kill: { help: "Send a signal to running containers", load: async () => (await import("./kill.ts")).kill },
  "container kill": { help: "Send a signal to running containers", load: async () => (await import("./kill.ts")).kill },
  load: { help: "Load images from a tar archive or standard input", load: async () => (await import("./load.ts")).load },
  "image load": { help: "Load images from a tar archive or standard input", load: async () => (await import("./load.ts")).load },
  logs: { help: "Show what a container has written", load: async () => (await import("./logs.ts")).logs },
  "container logs": { help: "Show what a container has written", load: async () => (await import("./logs.ts")).logs },
  pause: { help: "Freeze all processes of containers", load: async () => (await import("./pause.ts")).pause },
  "container pause": { help: "Freeze all processes of containers", load: async () => (await import("./pause.ts")).pause },
  port: { help: "Show where a container's ports are published", load: async () => (await import("./port.ts")).port },
  "container port": { help: "Show where a container's ports are published", load: async () => (await import("./port.ts")).port },
  rename: { help: "Give a container another name", load: async () => (await import("./rename.ts")).rename },
  "container rename": { help: "Give a container another name", load: async () => (await import("./rename.ts")).rename },
  restart: { help: "Stop containers and start them again", load: async () => (await import("./restart.ts")).restart },
  "container restart": { help: "Stop containers and start them again", load: async () => (await import("./restart.ts")).restart },
  rm: { help: "Remove containers", load: async () => (await import("./rm.ts")).rm },
  "container rm": { help: "Remove containers", load: async () => (await import("./rm.ts")).rm },
  rmi: { help: "Remove images", load: async () => (await import("./rmi.ts")).rmi },
  save: { help: "Write images as a tar archive", load: async () => (await import("./save.ts")).save },
  "image save": { help: "Write images as a tar archive", load: async () => (await import("./save.ts")).save },
  start: { help: "Start containers that do not run", load: async () => (await import("./start.ts")).start },
  "container start": { help: "Start containers that do not run", load: async () => (await import("./start.ts")).start },
  stop: { help: "Stop running containers", load: async () => (await import("./stop.ts")).stop },
  "container stop": { help: "Stop running containers", load: async () => (await import("./stop.ts")).stop },
  stats: { help: "Show what containers use, as it changes", load: async () => (await import("./stats.ts")).stats },
  "container stats": { help: "Show what containers use, as it changes", load: async () => (await import("./stats.ts")).stats },
  tag: { help: "Give an image another name", load: async () => (await import("./tag.ts")).tag },
  "image tag": { help: "Give an image another name", load: async () => (await import("./tag.ts")).tag },
  top: { help: "Show the processes of a container", load: async () => (await import("./top.ts")).top },
  "container top": { help: "Show the processes of a container", load: async () => (await import("./top.ts")).top },
  unpause: { help: "Let frozen containers go on", load: async () => (await import("./unpause.ts")).unpause },
  "container unpause": { help: "Let frozen containers go on", load: async () => (await import("./unpause.ts")).unpause },
  update: { help: "Change containers that exist", load: async () => (await import("./update.ts")).update },
  "container update": { help: "Change containers that exist", load: async () => (await import("./update.ts")).update },
  wait: { help: "Wait until containers end and print their exit codes", load: async () => (await import("./wait.ts")).wait },
  "container wait": { help: "Wait until containers end and print their exit codes", load: async () => (await import("./wait.ts")).wait },
  "container ls": { help: "Show containers", load: async () => (await import("./ps.ts")).ps },
  "container inspect": {
    help: "Show everything about containers as JSON",
    load: async () => (await import("./inspect-container.ts")).inspectContainer,
  },
  "container prune": {
    help: "Remove all containers that do not run",
    load: async () => (await import("./container-prune.ts")).containerPrune,
  },
  "image ls": { help: "Show images", load: async () => (await import("./images.ts")).images },
  "image rm": { help: "Remove images", load: async () => (await import("./rmi.ts")).rmi },
  "image inspect": { help: "Show everything about images as JSON", load: async () => (await import("./inspect-image.ts")).inspectImage },
  "image pin": { help: "Keep images by their names, whatever the disk lacks", load: async () => (await import("./image-pin.ts")).imagePin },
  "image unpin": { help: "Let go of images that were pinned", load: async () => (await import("./image-unpin.ts")).imageUnpin },
  "image prune": { help: "Remove images that nothing uses", load: async () => (await import("./image-prune.ts")).imagePrune },
  "network connect": { help: "Connect a container to a network", load: async () => (await import("./network-connect.ts")).networkConnect },
  "network create": { help: "Make a network", load: async () => (await import("./network-create.ts")).networkCreate },
  "network disconnect": {
    help: "Take a container off a network",
    load: async () => (await import("./network-disconnect.ts")).networkDisconnect,
  },
  "network inspect": {
    help: "Show everything about networks as JSON",
    load: async () => (await import("./network-inspect.ts")).networkInspect,
  },
  "mirror add": { help: "Use a mirror of a registry from now on", load: async () => (await import("./mirror-add.ts")).mirrorAdd },
  "mirror ls": { help: "Show mirrors in the order to ask them", load: async () => (await import("./mirror-ls.ts")).mirrorLs },
  "mirror rm": { help: "Use mirrors no longer", load: async () => (await import("./mirror-rm.ts")).mirrorRm },
  "mirror test": {
    help: "Measure the mirrors of a registry, and candidates",
    load: async () => (await import("./mirror-test.ts")).mirrorTest,
  },
  "network ls": { help: "Show networks", load: async () => (await import("./network-ls.ts")).networkLs },
  "network prune": { help: "Remove all networks that nothing uses", load: async () => (await import("./network-prune.ts")).networkPrune },
  "network rm": { help: "Remove networks", load: async () => (await import("./network-rm.ts")).networkRm },
  "volume backup": {
    help: "Write a volume's files, labels and options to an archive",
    load: async () => (await import("./volume-backup.ts")).volumeBackup,
  },
  "volume clone": { help: "Make a volume with the files of another", load: async () => (await import("./volume-clone.ts")).volumeClone },
  "volume create": { help: "Make a volume", load: async () => (await import("./volume-create.ts")).volumeCreate },
  "volume diff": {
    help: "Show what a volume has against another, or against an archive",
    load: async () => (await import("./volume-diff.ts")).volumeDiff,
  },
  "volume du": { help: "Show what volumes hold", load: async () => (await import("./volume-du.ts")).volumeDu },
  "volume inspect": {
    help: "Show everything about volumes as JSON",
    load: async () => (await import("./volume-inspect.ts")).volumeInspect,
  },
  "volume ls": { help: "Show volumes", load: async () => (await import("./volume-ls.ts")).volumeLs },
  "volume mv": { help: "Give a volume another name", load: async () => (await import("./volume-mv.ts")).volumeMv },
  "volume prune": { help: "Remove volumes that nothing uses", load: async () => (await import("./volume-prune.ts")).volumePrune },
  "volume pull": {
    help: "Make a volume of what 'volume push' sent to a registry",
    load: async () => (await import("./volume-pull.ts")).volumePull,
  },
  "volume push": { help: "Send a volume to a registry", load: async () => (await import("./volume-push.ts")).volumePush },
  "volume restore": {
    help: "Make a volume of an archive that 'volume backup' wrote",
    load: async () => (await import("./volume-restore.ts")).volumeRestore,
  },
  "volume rm": { help: "Remove volumes", load: async () => (await import("./volume-rm.ts")).volumeRm },
  "context create": { help: "Give a daemon a name", load: async () => (await import("./context-create.ts")).contextCreate },
  "context export": {
    help: "Write a context to a file or to standard output",
    load: async () => (await import("./context-export.ts")).contextExport,
  },
  "context import": { help: "Take in a context that was exported", load: async () => (await import("./context-import.ts")).contextImport },
  "context inspect": {
    help: "Show everything about contexts as JSON",
    load: async () => (await import("./context-inspect.ts")).contextInspect,
  },
  "context rm": { help: "Forget names of daemons", load: async () => (await import("./context-rm.ts")).contextRm },
  "context update": { help: "Change what a name stands for", load: async () => (await import("./context-update.ts")).contextUpdate },
  "context ls": { help: "Show the daemons that have a name", load: async () => (await import("./context-ls.ts")).contextLs },
  "context show": { help: "Print the name of the context in use", load: async () => (await import("./context-show.ts")).contextShow },
  "context use": { help: "Choose the context for the calls to come", load: async () => (await import("./context-use.ts")).contextUse },
  "plugin ls": { help: "Show the engine's plugins", load: async () => (await import("./plugin-ls.ts")).pluginLs },
  "registry gc": { help: "Remove what a registry no longer needs", load: async () => (await import("./registry-gc.ts")).registryGc },
  "registry serve": { help: "Run a registry in the foreground", load: async () => (await import("./registry-serve.ts")).registryServe },
  completion: {
    help: "Print the script that completes commands in a shell",
    load: async () => (await import("./completion.ts")).completion,
  },
  "system df": { help: "Show what takes how much of the disk", load: async () => (await import("./system-df.ts")).systemDf },
  "system prune": { help: "Remove whatever nothing uses", load: async () => (await import("./system-prune.ts")).systemPrune },
  "system dial-stdio": {
    help: "Join standard input and output to the daemon's socket",
    load: async () => (await import("./dial-stdio.ts")).dialStdio,
    hidden: true,
  },
};

/** The management commands: words that group others. */
export const GROUPS: Readonly<Record<string, string>> = {
  checkpoint: "Work with the checkpoints of containers",
  container: "Work with containers",
  context: "Work with the daemons that have a name",
  image: "Work with images",
  manifest: "Work with lists of images of several platforms",
  mirror: "Work with mirrors of registries",
  network: "Work with networks",
  plugin: "Work with the engine's plugins",
  registry: "Work with registries of one's own",
  system: "Work with the daemon itself",
  volume: "Work with volumes",
};

/** The commands that the program's help shows first. */
export const SECTIONS = { common: ["run", "exec", "ps", "pull", "push", "images", "login", "logout", "version", "info"] };

/** Other words for the same command; the first of each list is the one that messages name. */
const ALIASES: readonly (readonly string[])[] = [
  ["container ls", "container list", "container ps", "ps"],
  ["container rm", "container remove", "rm"],
  ["checkpoint ls", "checkpoint list"],
  ["checkpoint rm", "checkpoint remove"],
  ["image ls", "image list", "images"],
  ["image rm", "image remove", "rmi"],
  ["mirror ls", "mirror list"],
  ["mirror rm", "mirror remove"],
  ["network ls", "network list"],
  ["network rm", "network remove"],
  ["volume ls", "volume list"],
  ["volume rm", "volume remove"],
  ["context ls", "context list"],
  ["context rm", "context remove"],
  ["plugin ls", "plugin list"],
];

/** The entry under which the words of a command line are found: `container list` is `container ls`. */
export function resolve(words: string): string | undefined {
  if (words in TABLE) return words;
  return ALIASES.find((names) => names.includes(words))?.find((name) => name in TABLE);
}

/** All words that call the same command, in the order in which help shows them. */
export function aliasesOf(path: string): readonly string[] {
  const listed = ALIASES.find((names) => names.includes(path));
  if (listed) return listed;
  if (path.includes(" ")) {
    const short = path.slice(path.indexOf(" ") + 1);
    return TABLE[short]?.help === TABLE[path]?.help ? [path, short] : [path];
  }
  const group = Object.keys(GROUPS).find((name) => TABLE[`${name} ${path}`]?.help === TABLE[path]?.help);
  return group === undefined ? [path] : [`${group} ${path}`, path];
}
