import { join } from "node:path";
import { createServer, type Server } from "node:tls";
import { must } from "../../tools/shell.ts";

/** A certificate of its own for 127.0.0.1, in files. */
export async function makeCertificate(folder: string, name: string): Promise<{ cert: string; key: string }> {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", `/CN=${name}`];
  await must(["openssl", "req", ...kind, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]);
  return { cert, key };
}

/** A receiver of syslog over TLS that wants a certificate of its clients; it keeps what they send. */
export class TlsSyslog implements AsyncDisposable {
  text = "";
  /** Names in the certificates that clients have shown. */
  readonly clients: string[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    server.on("secureConnection", (socket) => {
      this.clients.push(String(socket.getPeerCertificate().subject?.CN ?? ""));
      socket.setEncoding("utf8").on("data", (text: string) => (this.text += text));
      socket.on("error", () => undefined);
    });
    // Who does not trust us, or is not trusted, is no error of ours.
    server.on("tlsClientError", () => undefined);
  }

  static async open(own: { cert: string; key: string }, clients: string): Promise<TlsSyslog> {
    const [cert, key, ca] = await Promise.all([own.cert, own.key, clients].map((path) => Bun.file(path).text()));
    const receiver = new TlsSyslog(createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true } as object));
    await new Promise<void>((resolve) => void receiver.#server.listen(0, "127.0.0.1", resolve));
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => void this.#server.close(resolve));
  }
}
