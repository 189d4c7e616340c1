import { LighterError } from "../base/errors.ts";
import { WatchedFile } from "./watched-file.ts";

/** A password that was found right needs no second look for so long, in milliseconds: bcrypt is made to be slow. */
const REMEMBER_MS = 300_000;
const REMEMBER_MOST = 1000;

/** bcrypt looks at so many bytes of a password; htpasswd leaves out the others, Bun would do something of its own with them. */
const BCRYPT_BYTES = 72;

/** Compared against where there is no such user, so that the time of an answer does not tell who exists. */
const NOBODY = "$2b$10$CwTycUXWue0Thq9StjUM0uJ8l4kEMnYdx5AC.sfwmX3SSXW0NnvQ2";

/**
 * Users and their passwords in a file as Apache's `htpasswd -B` writes it: `user:$2y$...` a line. Read again when it changes.
 * https://httpd.apache.org/docs/2.4/programs/htpasswd.html
 */
export class PasswordFile {
  readonly #file: WatchedFile<Map<string, string>>;
  readonly #right = new Map<string, number>();
  /** Of this process alone: what is remembered cannot be used elsewhere. */
  readonly #pepper = crypto.randomUUID();

  private constructor(file: WatchedFile<Map<string, string>>) {
    this.#file = file;
  }

  /** Reads the file. Throws `invalid` with the line that is wrong. */
  static async open(path: string): Promise<PasswordFile> {
    return new PasswordFile(await WatchedFile.open(path, (text) => parsePasswords(text, path)));
  }

  /** Whether this is the user's password. */
  async verify(user: string, password: string): Promise<boolean> {
    await this.#file.refresh();
    const stored = this.#file.value.get(user);
    const key = new Bun.CryptoHasher("sha256").update(JSON.stringify([this.#pepper, stored, user, password])).digest("base64");
    const until = this.#right.get(key);
    if (until !== undefined && until > performance.now()) return true;
    const right = await Bun.password
      .verify(Buffer.from(password).subarray(0, BCRYPT_BYTES), forBun(stored ?? NOBODY), "bcrypt")
      .catch(() => false);
    if (!right || stored === undefined) return false;
    if (this.#right.size >= REMEMBER_MOST) this.#right.clear();
    this.#right.set(key, performance.now() + REMEMBER_MS);
    return true;
  }

  /** A word that changes with the user's password; undefined where there is no such user. */
  async seal(user: string): Promise<string | undefined> {
    await this.#file.refresh();
    const stored = this.#file.value.get(user);
    return stored && new Bun.CryptoHasher("sha256").update(`${user}:${stored}`).digest("base64url").slice(0, 16);
  }
}

/** The users of a password file with their hashes. Throws `invalid`. */
export function parsePasswords(text: string, path: string): Map<string, string> {
  const users = new Map<string, string>();
  text.split("\n").forEach((raw, index) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return;
    const at = line.indexOf(":");
    const [user, hash] = [line.slice(0, at), line.slice(at + 1)];
    if (at < 1) throw new LighterError("invalid", `Cannot use "${path}": line ${index + 1} is not USER:HASH`);
    if (!/^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(hash))
      throw new LighterError("invalid", `Cannot use "${path}": the password of "${user}" is not bcrypt's; write it with "htpasswd -B"`);
    users.set(user, hash);
  });
  return users;
}

/** Three names for the same thing: Bun knows the newest. */
function forBun(hash: string): string {
  return hash.replace(/^\$2[ay]\$/, "$2b$");
}
