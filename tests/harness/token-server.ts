import { createPrivateKey, createSign, randomUUID, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { must } from "../../tools/shell.ts";

/** A certificate and its key, as files. */
export interface Pair {
  cert: string;
  key: string;
}

/** Makes a self-signed certificate for names; `names[0]` is its common name. */
export async function selfSigned(folder: string, names: readonly string[]): Promise<Pair> {
  const [name = "test"] = names;
  const pair = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${name}`];
  const alternatives = names.map((each) => `${/^[\d.]+$/.test(each) ? "IP" : "DNS"}:${each}`).join(",");
  await must(["openssl", "req", ...kind, "-addext", `subjectAltName=${alternatives}`, "-keyout", pair.key, "-out", pair.cert]);
  return pair;
}

/** A token server as docker-registry wants one: signed tokens for whoever knows the password, and none but `pull` for others. */
export class TokenServer implements AsyncDisposable {
  /** `GET scope` or `POST scope`, in order; the user's name behind it. */
  readonly asked: string[] = [];
  /** Seconds that a token is good for. */
  life = 300;
  readonly #server: Bun.Server<undefined>;
  readonly #pair: Pair;
  readonly #user: { name: string; password: string };

  private constructor(pair: Pair, user: { name: string; password: string }) {
    this.#pair = pair;
    this.#user = user;
    this.#server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => this.#answer(request) });
  }

  static async start(folder: string, user: { name: string; password: string }): Promise<TokenServer> {
    return new TokenServer(await selfSigned(folder, ["issuer"]), user);
  }

  get realm(): string {
    return `http://127.0.0.1:${this.#server.port}/token`;
  }

  /** The section `auth` of a registry that trusts this server. */
  get auth(): object {
    return { token: { realm: this.realm, service: "test", issuer: "issuer", rootcertbundle: this.#pair.cert } };
  }

  async #answer(request: Request): Promise<Response> {
    const form = request.method === "POST" ? new URLSearchParams(await request.text()) : new URL(request.url).searchParams;
    const known = request.method === "POST" ? form.get("refresh_token") === "kept" : request.headers.get("authorization") === this.#basic();
    if (request.headers.has("authorization") && !known) return new Response(null, { status: 401 });
    const scopes = form.getAll("scope").flatMap((scope) => scope.split(" "));
    this.asked.push(`${request.method} ${scopes.join(" ")}${known ? ` ${this.#user.name}` : ""}`);
    const token = await this.#token(known ? scopes : scopes.map((scope) => scope.replace(/:[^:]*$/, ":pull")));
    const refresh = form.has("offline_token") ? { refresh_token: "kept" } : {};
    return Response.json({ token, access_token: token, expires_in: this.life, ...refresh });
  }

  #basic(): string {
    return `Basic ${btoa(`${this.#user.name}:${this.#user.password}`)}`;
  }

  async #token(scopes: readonly string[]): Promise<string> {
    const chain = [new X509Certificate(await Bun.file(this.#pair.cert).text()).raw.toString("base64")];
    const now = Math.floor(Date.now() / 1000);
    const access = scopes.map((scope) => {
      const [, type = "", name = "", actions = ""] = /^([^:]+):(.+):([^:]*)$/.exec(scope) ?? [];
      return { type, name, actions: actions.split(",") };
    });
    const claims = { iss: "issuer", sub: "", aud: "test", exp: now + this.life, nbf: now - 10, iat: now, jti: randomUUID(), access };
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${part({ typ: "JWT", alg: "ES256", x5c: chain })}.${part(claims)}`;
    const key = createPrivateKey(await Bun.file(this.#pair.key).text());
    return `${text}.${createSign("sha256").update(text).sign({ key, dsaEncoding: "ieee-p1363" }, "base64url")}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}
