import { LighterError } from "../base/errors.ts";
import { parseReference } from "../base/reference.ts";
import { param, type Answer, type Call } from "./call.ts";
import { progressAnswer } from "./progress-answer.ts";
import { registryAuth } from "./registry-auth.ts";
import { freezing } from "./volume-files.ts";

/** Ours: sends a volume to the registry that `reference` names, telling its progress; with `pause` its containers stand still while it is copied. */
export async function push(call: Call): Promise<Answer> {
  const { engine, signal } = call;
  const name = param(call, "name");
  const credentials = registryAuth(call);
  const reference = referenceOf(call);
  const options = { signal, ...freezing(call), ...(credentials && { credentials }) };
  return progressAnswer((progress) => engine.volumes.push(name, reference, { ...options, progress }));
}

/** Ours: makes a volume of what `reference` names in a registry. The last message carries the volume in `aux`. */
export async function pull(call: Call): Promise<Answer> {
  const { engine, query, signal } = call;
  const name = query.text("name");
  const credentials = registryAuth(call);
  const reference = referenceOf(call);
  const options = { signal, force: query.flag("force"), ...(name !== undefined && { name }), ...(credentials && { credentials }) };
  return progressAnswer(async (progress) => {
    const volume = await engine.volumes.pull(reference, { ...options, progress });
    progress({ aux: volume });
  });
}

function referenceOf(call: Call): string {
  const reference = call.query.text("reference");
  if (reference === undefined) throw new LighterError("invalid", "bad parameter: reference cannot be empty");
  parseReference(reference);
  return reference;
}
