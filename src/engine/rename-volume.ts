import type { Containers } from "../containers/containers.ts";
import type { Volumes } from "../volumes/volumes.ts";

/** Gives a volume another name, in the containers that have it, too. Throws `conflict` while one of those runs, and for a name in use. */
export async function renameVolume(
  { containers, volumes }: { containers: Containers; volumes: Volumes },
  name: string,
  to: string,
): Promise<void> {
  await containers.whileAtRest(volumes.users(name), name, (follow) => volumes.rename(name, to, { follow }));
}
