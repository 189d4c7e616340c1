import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listen } from "./listen.ts";

const dir = mkdtempSync(join(tmpdir(), "lighter-tls-"));
afterAll(() => rmSync(dir, { recursive: true }));

/** Runs openssl with a line of arguments. */
function openssl(line: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...line.split(" ")], { cwd: dir, stderr: "pipe" });
  if (exitCode !== 0) throw new Error(stderr.toString());
}

openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca");
for (const name of ["server", "client"]) {
  openssl(
    `req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${name}.key -out ${name}.csr -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1`,
  );
  openssl(`x509 -req -in ${name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out ${name}.pem -days 2 -copy_extensions copy`);
}
const read = (name: string): Promise<string> => Bun.file(join(dir, name)).text();

test("with a CA, only clients that show one of its certificates come in", async () => {
  const tls = { cert: await read("server.pem"), key: await read("server.key"), ca: await read("ca.pem") };
  await using listener = await listen(
    { kind: "tcp", hostname: "127.0.0.1", port: 0, tls },
    { handler: (exchange) => exchange.answer(200, {}, "in") },
  );
  const url = `https://127.0.0.1:${listener.port}/`;
  const own = { ca: tls.ca, cert: await read("client.pem"), key: await read("client.key") };
  expect(await (await fetch(url, { tls: own })).text()).toBe("in");
  await expect(fetch(url, { tls: { ca: tls.ca } })).rejects.toThrow();
});

test("without a CA the server alone shows its certificate", async () => {
  const tls = { cert: await read("server.pem"), key: await read("server.key") };
  await using listener = await listen(
    { kind: "tcp", hostname: "127.0.0.1", port: 0, tls },
    { handler: (exchange) => exchange.answer(200, {}, "in") },
  );
  expect(await (await fetch(`https://127.0.0.1:${listener.port}/`, { tls: { ca: await read("ca.pem") } })).text()).toBe("in");
});
