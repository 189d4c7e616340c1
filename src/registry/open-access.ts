import { LighterError } from "../base/errors.ts";
import type { Access } from "./access.ts";
import { basicAccess } from "./basic-access.ts";
import type { AuthConfig } from "./config.ts";
import { PasswordFile } from "./htpasswd.ts";
import { readRights, SIGNED_IN } from "./rights.ts";

/** Who is let in, by the configuration; undefined where everybody is. `folder` keeps the key that tokens are signed with. Throws `invalid`. */
export async function openAccess({ htpasswd, rights, tokens }: AuthConfig, folder: string): Promise<Access | undefined> {
  if (tokens !== undefined && tokens !== true) {
    if (htpasswd !== undefined || rights !== undefined)
      throw new LighterError(
        "invalid",
        "Cannot use a token server beside passwords or rights of one's own: it is the server that knows both",
      );
    const { serverAccess } = await import("./server-access.ts");
    return await serverAccess(tokens);
  }
  if (htpasswd === undefined) {
    if (rights === undefined && tokens === undefined) return undefined;
    throw new LighterError("invalid", "Cannot tell users apart: rights and tokens need a password file (htpasswd)");
  }
  const passwords = await PasswordFile.open(htpasswd);
  const known = rights === undefined ? SIGNED_IN : await readRights(rights);
  if (tokens === undefined) return basicAccess(passwords, known);
  const { ownTokenAccess } = await import("./own-token-access.ts");
  return await ownTokenAccess(passwords, known, folder);
}
