/** Bad input: Docker's status, a sentence, and nothing half-made. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Ground } from "./harness/ground.ts";
import { leftovers, type Leftovers, mayPool, pooled, withoutPool } from "./harness/leftovers.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  await ground.lighter.must("create", "--name", "taken", "busybox", "true");
  await ground.lighter.must("rmi", `${ground.registry.host}/busybox`); // one name is left
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

interface Case {
  request: [method: string, path: string, body?: object | string];
  status: number;
  message: RegExp;
}

const CASES: Record<string, Case> = {
  "malformed JSON": { request: ["POST", "/containers/create", '{"Image": '], status: 400, message: /unexpected|invalid|EOF|JSON/i },
  "no body": { request: ["POST", "/containers/create"], status: 400, message: /.{10}/ },
  "a body of the wrong type": {
    request: ["POST", "/containers/create", { Image: "busybox", Cmd: { no: "list" } }],
    status: 400,
    message: /Cmd|cannot unmarshal|invalid/i,
  },
  "no image": { request: ["POST", "/containers/create", {}], status: 400, message: /.{10}/ },
  "an image that is not here": {
    request: ["POST", "/containers/create", { Image: "nothing" }],
    status: 404,
    message: /^No such image: nothing:latest$/,
  },
  "a bad reference": {
    request: ["POST", "/images/create?fromImage=UPPER"],
    status: 400,
    message: /invalid reference format: repository name .*must be lowercase/,
  },
  "a name in use": {
    request: ["POST", "/containers/create?name=taken", { Image: "busybox" }],
    status: 409,
    message:
      /^Conflict\. The container name "\/taken" is already in use by container "?[0-9a-f]{64}"?\. You have to remove \(or rename\) that container to be able to reuse that name\.$/,
  },
  "a bad name": {
    request: ["POST", "/containers/create?name=not%20good", { Image: "busybox" }],
    status: 400,
    message: /Invalid container name \(not good\), only \[a-zA-Z0-9\]\[a-zA-Z0-9_\.-\] are allowed/,
  },
  "no such container": { request: ["GET", "/containers/nobody/json"], status: 404, message: /^No such container: nobody$/ },
  "start of no container": { request: ["POST", "/containers/nobody/start"], status: 404, message: /^No such container: nobody$/ },
  "kill of a stopped one": { request: ["POST", "/containers/taken/kill"], status: 409, message: /is not running/ },
  "a bad signal": { request: ["POST", "/containers/taken/kill?signal=SIGNOPE"], status: 400, message: /[Ii]nvalid signal: SIGNOPE/ },
  "a bad filter": {
    request: ["GET", `/containers/json?filters=${encodeURIComponent('{"nonsense":["x"]}')}`],
    status: 400,
    message: /invalid filter 'nonsense'/i,
  },
  "filters that are no JSON": { request: ["GET", "/containers/json?filters=%7Bx"], status: 400, message: /invalid|unexpected/i },
  "a bad wait condition": {
    request: ["POST", "/containers/taken/wait?condition=someday"],
    status: 400,
    message: /invalid condition: "?someday"?/,
  },
  "an unknown page": { request: ["GET", "/no/such/page"], status: 404, message: /page not found/ },
  "no such exec": { request: ["POST", "/exec/nothing/start", {}], status: 404, message: /No such exec instance: nothing/i },
  "exec in a stopped one": { request: ["POST", "/containers/taken/exec", { Cmd: ["true"] }], status: 409, message: /is not running/ },
  "exec without a command": { request: ["POST", "/containers/taken/exec", {}], status: 400, message: /No exec command specified/i },
  "logs of no stream": { request: ["GET", "/containers/taken/logs"], status: 400, message: /you must choose at least one stream/i },
  "too little memory": {
    request: ["POST", "/containers/create", { Image: "busybox", HostConfig: { Memory: 1024 } }],
    status: 400,
    message: /Minimum memory limit allowed is 6MB/i,
  },
  "a bad bind": {
    request: ["POST", "/containers/create", { Image: "busybox", HostConfig: { Binds: ["relative:/x:zz"] } }],
    status: 400,
    message: /invalid (mode|volume specification)/,
  },
  "a missing bind source": {
    request: [
      "POST",
      "/containers/create",
      { Image: "busybox", HostConfig: { Mounts: [{ Type: "bind", Source: "/no/such/folder", Target: "/x" }] } },
    ],
    status: 400,
    message: /bind source path does not exist: \/no\/such\/folder/,
  },
  "a bad port": {
    request: ["POST", "/containers/create", { Image: "busybox", ExposedPorts: { "99999/tcp": {} } }],
    status: 400,
    message: /port|range/i,
  },
  "a bad restart policy": {
    request: ["POST", "/containers/create", { Image: "busybox", HostConfig: { RestartPolicy: { Name: "sometimes" } } }],
    status: 400,
    message: /(invalid|unknown).*(restart )?policy/i,
  },
  "an unknown runtime": {
    request: ["POST", "/containers/create", { Image: "busybox", HostConfig: { Runtime: "nope" } }],
    status: 400,
    message: /[Uu]nknown (or invalid )?runtime/,
  },
  "an unknown container to share processes with": {
    request: ["POST", "/containers/create", { Image: "busybox", HostConfig: { PidMode: "container:nobody" } }],
    status: 400,
    message: /No such container: nobody/,
  },
  "removal of no image": { request: ["DELETE", "/images/nothing"], status: 404, message: /No such image: nothing(:latest)?/ },
  "removal of an image in use": {
    request: ["DELETE", "/images/busybox"],
    status: 409,
    message: /unable to (remove|delete) .*(container [0-9a-f]{12}|in use)/,
  },
  "a version that is too new": {
    request: ["GET", "/v1.999/version"],
    status: 400,
    message: /client version 1\.999 is too new\. Maximum supported API version is \d\.\d+/,
  },
};

for (const [what, { request, status, message }] of Object.entries(CASES)) {
  test(`${what}: ${status}`, async () => {
    const before = await leftovers(ground.daemon);
    const [method, path, body] = request;
    const bytes = typeof body === "string" ? Buffer.from(body) : body;
    const versioned = path.startsWith("/v1.");
    const response = await ground.daemon.api(method, path, {
      ...(bytes === undefined ? {} : { body: bytes }),
      ...(versioned ? { version: null } : {}),
      headers: { "content-type": "application/json" },
    });
    const text = await response.text();
    expect({ status: response.status, text }).toMatchObject({ status });
    expect((JSON.parse(text) as { message: string }).message).toMatch(message);
    const isAsBefore = (now: Leftovers): boolean => Bun.deepEquals(withoutPool(now), withoutPool(before)) && pooled(now) <= mayPool(before);
    await until("all is as it was", async () => isAsBefore(await leftovers(ground.daemon))).catch(() => undefined);
    const after = await leftovers(ground.daemon);
    expect(withoutPool(after)).toEqual(withoutPool(before));
    expect(pooled(after)).toBeLessThanOrEqual(mayPool(before));
  });
}

test("a header or a body without end does not keep the daemon from others", async () => {
  const open = await Promise.all(
    Array.from({ length: 20 }, async () => await Bun.connect({ unix: ground.daemon.socket, socket: { data() {} } })),
  );
  for (const socket of open) socket.write("POST /v1.41/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{");
  expect((await ground.daemon.api("GET", "/_ping")).status).toBe(200);
  for (const socket of open) socket.end();
});

test("a request that is no HTTP is answered with 400 or closed", async () => {
  const answer = Promise.withResolvers<string>();
  const socket = await Bun.connect({
    unix: ground.daemon.socket,
    socket: { data: (_, data) => answer.resolve(data.toString()), close: () => answer.resolve(""), end: () => answer.resolve("") },
  });
  socket.write("\x16\x03\x01 this is not http\r\n\r\n");
  expect(await answer.promise).toMatch(/^(HTTP\/1\.[01] 400|$)/);
  expect((await ground.daemon.api("GET", "/_ping")).status).toBe(200);
});
