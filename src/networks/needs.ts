/** What networks/ asks of others; filled in by engine/. */
export interface NetworksNeeds {
  /** The container that a name or id means (`--network container:x`): its id, name, and init's pid while it runs. Throws `not-found`. */
  container(reference: string): { id: string; name: string; pid: number | undefined };
  /** What a container says itself about what it may reach (`lighter.egress`); undefined for nothing. */
  egress(containerId: string): string | undefined;
  /** Where the hosts file and the resolv.conf of a container are that has a network of its own. */
  files(containerId: string): { hosts: string; resolvConf: string };
  /** Puts a process where it outlives the daemon, whatever ends that. */
  placeHelper(pid: number): void;
}
