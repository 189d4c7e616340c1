import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { parseReference } from "../base/reference.ts";
import { digestOf } from "../oci/digest.ts";
import { readCertificates } from "./certificates.ts";
import type { DistributionOptions } from "./distribution.ts";
import { isNetworkFailure } from "./network-failure.ts";
import { openDistribution } from "./open.ts";

/** A name that a certificate can be made for and that always means this machine, but is not loopback in the eyes of the client's rules. */
const NAME = "registry.localhost";

describe.skipIf(Bun.which("openssl") === null)("TLS", () => {
  let folder = "";
  let server: Bun.Server<undefined> | undefined;
  const host = (): string => `${NAME}:${server?.port}`;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "lighter-tls-"));
    const flags = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${NAME}`];
    const files = ["-addext", `subjectAltName=DNS:${NAME}`, "-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")];
    const openssl = Bun.spawn(["openssl", "req", ...flags, ...files], { stderr: "pipe" });
    if ((await openssl.exited) !== 0) throw new Error(await openssl.stderr.text());
    server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { key: Bun.file(join(folder, "key.pem")), cert: Bun.file(join(folder, "cert.pem")) },
      fetch: ({ method, url }) => {
        if (method === "HEAD") return new Response(null, { status: 404 });
        if (method === "POST") return new Response(null, { status: 202, headers: { location: `http://127.0.0.1:9/${url.length}` } });
        return Response.json({ tags: ["over-tls"] });
      },
    });
  });
  afterAll(async () => {
    await server?.stop(true);
    await rm(folder, { recursive: true, force: true });
  });

  async function tags(options: Partial<DistributionOptions>): Promise<string[] | Error> {
    const defaults = { insecureRegistries: [], registryMirrors: [], certificateDirectories: [], userAgent: "lighter/test" };
    const repository = openDistribution({ ...defaults, ...options }).repository(parseReference(`${host()}/x`), {})[0];
    return (repository?.tags() ?? Promise.resolve([])).catch((error: unknown) => error as Error);
  }

  test("an unknown certificate is refused, and that is no network failure", async () => {
    const error = await tags({});
    expect(messageOf(error)).toContain(
      `Get "https://${host()}/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    );
    expect(isNetworkFailure(error)).toBe(false);
    await mkdir(join(folder, "names.d", `other.localhost:${server?.port}`), { recursive: true });
    await Bun.write(join(folder, "names.d", `other.localhost:${server?.port}`, "ca.crt"), Bun.file(join(folder, "cert.pem")));
    const elsewhere = { insecureRegistries: [], registryMirrors: [], certificateDirectories: [join(folder, "names.d")], userAgent: "x" };
    const other = openDistribution(elsewhere).repository(parseReference(`other.localhost:${server?.port}/x`), {})[0];
    expect(await other?.tags().catch(messageOf)).toContain("x509: certificate is not valid for other.localhost");
  });

  test("a certificate in certs.d makes it known, for its host alone", async () => {
    const directory = join(folder, "certs.d");
    await mkdir(join(directory, host()), { recursive: true });
    await Bun.write(join(directory, host(), "ca.crt"), Bun.file(join(folder, "cert.pem")));
    expect(await tags({ certificateDirectories: [join(folder, "none"), directory] })).toEqual(["over-tls"]);
    expect(await readCertificates([directory], "other:5000")).toBeUndefined();
  });

  test("an insecure registry is not checked", async () => {
    expect(await tags({ insecureRegistries: [host()] })).toEqual(["over-tls"]);
    // Nor is one whose name leads into a network that is marked so.
    expect(await tags({ insecureRegistries: ["10.0.0.0/8", "127.0.0.0/8", "::1/128"] })).toEqual(["over-tls"]);
    expect(messageOf(await tags({ insecureRegistries: ["10.0.0.0/8", "fd00::/8"] }))).toContain("tls: failed to verify certificate");
  });

  test("a redirect to HTTP is refused, and the registry that asks for a client's certificate gets it", async () => {
    const tls = { key: Bun.file(join(folder, "key.pem")), cert: Bun.file(join(folder, "cert.pem")) };
    await using other = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { ...tls, ca: Bun.file(join(folder, "cert.pem")), requestCert: true, rejectUnauthorized: true },
      fetch: (request) =>
        request.url.includes("/tags/") ? Response.redirect("http://plain.invalid/x") : Response.json({ tags: ["never asked for"] }),
    });
    const name = `${NAME}:${other.port}`;
    const directory = join(folder, "mutual.d");
    await mkdir(join(directory, name), { recursive: true });
    const asked = { insecureRegistries: [], registryMirrors: [], certificateDirectories: [directory], userAgent: "lighter/test" };
    const list = (): Promise<unknown> =>
      openDistribution(asked)
        .repository(parseReference(`${name}/x`), {})[0]
        ?.tags() ?? Promise.resolve();
    const failed = (): Promise<string> => list().then(() => "", messageOf);
    await Bun.write(join(directory, name, "ca.crt"), Bun.file(join(folder, "cert.pem")));
    expect(await failed()).toContain(`Get "https://${name}/v2/":`);
    await Bun.write(join(directory, name, "client.cert"), Bun.file(join(folder, "cert.pem")));
    await Bun.write(join(directory, name, "client.key"), Bun.file(join(folder, "key.pem")));
    expect(await failed()).toContain('it redirects from HTTPS to "http://plain.invalid", which is not encrypted');
  });

  test("a client's certificate goes with its key", async () => {
    const directory = join(folder, "client.d");
    await mkdir(join(directory, "r"), { recursive: true });
    for (const [name, text] of [
      ["client.cert", "CERT"],
      ["client.key", "KEY"],
      ["lonely.cert", "NO"],
    ] as const)
      await Bun.write(join(directory, "r", name), text);
    expect(await readCertificates([directory], "r")).toEqual({ cert: "CERT", key: "KEY" });
  });

  test("what is to be uploaded does not leave HTTPS", async () => {
    const directory = join(folder, "certs.d");
    await mkdir(join(directory, host()), { recursive: true });
    await Bun.write(join(directory, host(), "ca.crt"), Bun.file(join(folder, "cert.pem")));
    const options = { insecureRegistries: [], registryMirrors: [], certificateDirectories: [directory], userAgent: "lighter/test" };
    const repository = openDistribution(options).repository(parseReference(`${host()}/x`), {})[0];
    const blob = { digest: digestOf("x"), size: 1, open: () => new Blob(["x"]).stream() };
    const error = await (repository?.upload(blob) ?? Promise.resolve("no repository")).catch((thrown: unknown) => thrown);
    expect(messageOf(error)).toBe(`Cannot send to "http://127.0.0.1:9", as https://${host()} wants it: that is not encrypted`);
  });
});
