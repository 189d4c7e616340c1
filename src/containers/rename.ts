import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { nameConflict } from "./create.ts";
import { change, type Context, tell } from "./context.ts";
import { idOfName, setName } from "./rows.ts";
import { validateName } from "./validate.ts";

/** Gives a container another name. Throws `conflict` for one in use. */
export function renameContainer(context: Context, reference: string, name: string): Promise<void> {
  if (name === "") throw new LighterError("invalid", "Neither old nor new names may be empty");
  return change(context, reference, (row) => {
    if (name.replace(/^\//, "") === row.name)
      throw new LighterError("invalid", "Renaming a container with the same name as its current name");
    const fresh = free(context, name);
    context.needs.state.write(
      (tx) => {
        setName(tx, row.id, fresh);
        context.needs.networks.rename(tx, row.id, fresh);
        tell(tx, { ...row, name: fresh }, "rename", { oldName: `/${row.name}` });
      },
      { durable: true },
    );
    return Promise.resolve();
  });
}

/** A name that nobody has yet, without its slash. Throws `invalid` and `conflict` with Docker's texts. */
function free(context: Context, name: string): string {
  try {
    const fresh = validateName(name.startsWith("/") ? name : `/${name}`);
    const holder = idOfName(context.needs.state, fresh);
    if (holder !== undefined) throw nameConflict(fresh, holder);
    return fresh;
  } catch (error) {
    throw new LighterError(kindOf(error), `Error when allocating new name: ${messageOf(error)}`, { cause: error });
  }
}
