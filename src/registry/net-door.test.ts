import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { kindOf } from "../base/errors.ts";
import { NetDoor } from "./net-door.ts";
import { makeCertificate } from "./own-certificate.ts";
import { watchCertificate } from "./watched-certificate.ts";

const serve = async (): Promise<Response> => new Response("here");

async function shown(address: string): Promise<string> {
  const { hostname, port } = new URL(address);
  const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false });
  try {
    return await new Promise<string>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("secureConnect", () => resolve(new X509Certificate(socket.getPeerCertificate().raw).fingerprint256));
    });
  } finally {
    socket.destroy();
  }
}

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await holds())) await Bun.sleep(5);
}

test("an address that something else has: an error, or it is waited for", async () => {
  const other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("other") });
  const options = { address: `127.0.0.1:${other.port}`, serve, tls: undefined, plain: false };
  const failure = ((): unknown => {
    try {
      return new NetDoor(options);
    } catch (error) {
      return error;
    }
  })();
  expect(kindOf(failure)).toBe("conflict");
  const door = new NetDoor({ ...options, patient: true, retry: 5 });
  expect(door.address).toBe(`http://${options.address}`);
  expect(await (await fetch(door.address)).text()).toBe("other");
  await other.stop(true);
  const answer = async (): Promise<string> => await fetch(door.address, { keepalive: false }).then((it) => it.text(), String);
  await until(async () => (await answer()) === "here");
  await door.stop(0);
});

test("another certificate is shown on the same port; what is under way ends as it began", async () => {
  const [first, second] = [makeCertificate(["127.0.0.1"], new Date()), makeCertificate(["127.0.0.1"], new Date())];
  const held = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const door = new NetDoor({
    address: "127.0.0.1:0",
    plain: false,
    tls: first,
    serve: async (request) => {
      if (request.url.endsWith("/slow")) {
        begun.resolve();
        await held.promise;
      }
      return new Response("here");
    },
  });
  const { address } = door;
  expect(await shown(address)).toBe(new X509Certificate(first.cert).fingerprint256);
  const slow = fetch(`${address}/slow`, { tls: { rejectUnauthorized: false } }).then((it) => it.text());
  await begun.promise;
  door.renew(second);
  expect(door.address).toBe(address);
  expect(await shown(address)).toBe(new X509Certificate(second.cert).fingerprint256);
  held.resolve();
  expect(await slow).toBe("here");
  await door.stop(0);
});

test("a certificate counts once its key is there, too", async () => {
  const [first, second] = [makeCertificate(["a"], new Date()), makeCertificate(["b"], new Date())];
  let there = first;
  let looks = 0;
  const renewed: string[] = [];
  const read = async (): Promise<typeof first> => {
    looks++;
    return there;
  };
  using _ = watchCertificate({ first, read, every: 1 }, ({ cert }) => void renewed.push(cert));
  there = { ...first, cert: second.cert };
  const seen = looks;
  await until(() => looks > seen + 3);
  expect(renewed).toEqual([]);
  there = second;
  await until(() => renewed.length > 0);
  expect(renewed).toEqual([second.cert]);
});
