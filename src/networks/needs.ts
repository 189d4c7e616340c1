/** What networks/ asks of others; filled in by engine/. */
export interface NetworksNeeds {
  /** The container that a name or id means (`--network container:x`): its id, name, and init's pid while it runs. Throws `not-found`. */
  container(reference: string): { id: string; name: string; pid: number | undefined };
  /** Puts a process where it outlives the daemon, whatever ends that. */
  placeHelper(pid: number): void;
}
