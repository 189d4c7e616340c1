/** What Lighter does not do, and what to do instead. */
const NO_SWARM =
  "Lighter has no swarm: to run containers on several machines, use it under Kubernetes, which reaches it through the Container Runtime Interface";
const NO_PLUGINS = "Lighter has its drivers built in and installs no engine plugins";
const LATER = "this version of Lighter cannot do that yet";

/**
 * docker's commands that are not here, by their first word or by all of them, with the sentence that says why. What a plugin of
 * docker's command line offers under that name goes first.
 */
const ABSENT: Readonly<Record<string, string>> = {
  config: NO_SWARM,
  node: NO_SWARM,
  secret: NO_SWARM,
  service: NO_SWARM,
  stack: NO_SWARM,
  swarm: NO_SWARM,
  "volume update": NO_SWARM,
  plugin: NO_PLUGINS,
  build: LATER,
  builder: LATER,
  "image build": LATER,
};

/** The sentence for a command that docker has and this program has not; undefined for any other word. */
export function absence(called: string, words: string): string | undefined {
  const reason = words in ABSENT ? ABSENT[words] : ABSENT[words.split(" ")[0] ?? ""];
  return reason === undefined ? undefined : `${called}: ${reason}`;
}

/** Whether all of a word's commands are absent. */
export function isAbsent(word: string): boolean {
  return word in ABSENT;
}
