import { json, type Answer, type Call } from "./call.ts";

/** Ours: published ports of running containers, or of one, with what the outside can reach and why. */
export async function reachablePorts(call: Call): Promise<Answer> {
  const { containers, networks } = call.engine;
  const reference = call.query.text("container") ?? "";
  const id = reference === "" ? undefined : (await containers.inspect(reference)).Id;
  return json(await networks.reachable(id));
}
