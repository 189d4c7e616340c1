import { LighterError } from "../base/errors.ts";
import type { AuthConfig } from "../wire/engine-api.ts";
import { json, type Answer, type Call } from "./call.ts";
import { readJson } from "./read-json.ts";
import { object, text } from "./shape.ts";

/** Clients may not keep what `/_ping` says; `Builder-Version: 1` sends docker's client to `/build`, whose answer explains itself. */
const PING_HEADERS = {
  "Builder-Version": "1",
  "Cache-Control": "no-cache, no-store, must-revalidate",
  Pragma: "no-cache",
  Swarm: "inactive",
};

/** The first thing that every client asks: is somebody there, and which versions. */
export function ping(): Answer {
  return { status: 200, headers: PING_HEADERS, text: "OK" };
}

/** The same without a body. */
export function pingHead(): Answer {
  return { status: 200, headers: { ...PING_HEADERS, "Content-Type": "text/plain; charset=utf-8", "Content-Length": "0" } };
}

/** The daemon's version and those of its parts. */
export function version(call: Call): Answer {
  return json(call.engine.version());
}

/** Everything about the daemon and its host. */
export async function info(call: Call): Promise<Answer> {
  return json(await call.engine.info());
}

const authBody = object({
  username: text,
  password: text,
  email: text,
  serveraddress: text,
  identitytoken: text,
  registrytoken: text,
  auth: text,
});

type Login = AuthConfig & { identitytoken?: string; registrytoken?: string };

/** `docker login`: checks the credentials against the registry, stores nothing. */
export async function auth(call: Call): Promise<Answer> {
  const body = await readJson<Login>(call, authBody);
  if (body === undefined) throw new LighterError("invalid", "invalid JSON: got EOF while reading request body");
  const { status, identityToken } = await call.engine.images.login(body.serveraddress ?? "", {
    ...(body.username ? { username: body.username } : {}),
    ...(body.password ? { password: body.password } : {}),
    ...(body.identitytoken ? { identityToken: body.identitytoken } : {}),
    ...(body.registrytoken ? { registryToken: body.registrytoken } : {}),
  });
  return json({ Status: status, IdentityToken: identityToken });
}

const DF_TYPES = ["container", "image", "volume", "build-cache"] as const;
type DfType = (typeof DF_TYPES)[number];

/** What takes how much of the disk; without `verbose`, 1.52 listed every object beside the sums. */
export async function diskUsage(call: Call): Promise<Answer> {
  const types = call.query.list("type");
  const wrong = types.find((type) => !DF_TYPES.includes(type as DfType));
  if (wrong !== undefined) throw new LighterError("invalid", `unknown object type: ${wrong}`);
  const verbose = call.query.flag("verbose", call.version === 52);
  return json(await call.engine.diskUsage({ ...(types.length > 0 && { types: types as DfType[] }), verbose }));
}
