import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Two users with their passwords and rights, as files. */
export interface Users extends AsyncDisposable {
  folder: string;
  htpasswd: string;
  rights: string;
}

/** alice may do everything, bob pushes to `team/*`, everybody pulls from `public/**`. */
export async function makeUsers(): Promise<Users> {
  const folder = await mkdtemp(join(tmpdir(), "lighter-access-"));
  const [htpasswd, rights] = [join(folder, "users"), join(folder, "rights")];
  // As "htpasswd -B" writes them: $2y$.
  const hash = (password: string): string => Bun.password.hashSync(password, { algorithm: "bcrypt", cost: 4 }).replace("$2b$", "$2y$");
  await Bun.write(htpasswd, `# users\nalice:${hash("secret")}\nbob:${hash("builder: with a colon")}\n`);
  await Bun.write(rights, "group devs = bob\nanonymous public/** pull\nalice ** *\n@devs team/* push # and pull\n");
  return { folder, htpasswd, rights, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

/** The header of a name and a password. */
export function basic(user: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}

export const alice = (): Record<string, string> => basic("alice", "secret");
export const bob = (): Record<string, string> => basic("bob", "builder: with a colon");
