import { LighterError } from "../base/errors.ts";
import { done, json, param, type Answer, type Call, type Handle } from "./call.ts";
import { readJson } from "./read-json.ts";
import { flag, object, text } from "./shape.ts";

interface CheckpointBody {
  CheckpointID?: string;
  CheckpointDir?: string;
  Exit?: boolean;
}

const body = object({ CheckpointID: text, CheckpointDir: text, Exit: flag });

/** Docker's sentence for what its daemon does only when told so; clients show it. */
const DISABLED = "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.";

/** Answers 501 unless the daemon was started with `--experimental`. */
export function experimental(handle: Handle): Handle {
  return (call) => {
    if (!call.engine.experimental) throw new LighterError("unsupported", DISABLED);
    return handle(call);
  };
}

/** Writes a container's processes down; 201 once they are. */
export async function create(call: Call): Promise<Answer> {
  const { CheckpointID = "", CheckpointDir, Exit = false } = (await readJson<CheckpointBody>(call, body)) ?? {};
  await call.engine.containers.createCheckpoint(param(call, "id"), {
    id: CheckpointID,
    exit: Exit,
    ...(CheckpointDir ? { directory: CheckpointDir } : {}),
  });
  return done(201);
}

/** The checkpoints of a container; null for none, as with Docker. */
export async function list(call: Call): Promise<Answer> {
  const names = await call.engine.containers.checkpoints(param(call, "id"), call.query.text("dir"));
  return json(names.length === 0 ? null : names.map((Name) => ({ Name })));
}

/** Removes a checkpoint. */
export async function remove(call: Call): Promise<Answer> {
  await call.engine.containers.removeCheckpoint(param(call, "id"), param(call, "checkpoint"), call.query.text("dir"));
  return done(204);
}
