import type { Attachment } from "../wire/stream.ts";
import { type Context, tellAlone } from "./context.ts";
import { rowById } from "./rows.ts";

/** An attachment whose end by the detach keys is told as an event; other ends are not. */
export function tellingDetach(
  context: Context,
  attachment: Attachment,
  event: { container: string; action: "detach" | "exec_detach"; attributes?: Record<string, string> },
): Attachment {
  let told = false;
  return {
    write: (data) => attachment.write(data),
    closeInput: () => attachment.closeInput(),
    detach: (reason) => {
      attachment.detach();
      const row = reason === "keys" && !told && !context.closing ? rowById(context.needs.state, event.container) : undefined;
      if (row === undefined) return;
      told = true;
      tellAlone(context, row, event.action, event.attributes);
    },
    ended: attachment.ended,
  };
}
