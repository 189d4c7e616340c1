import { LighterError } from "../base/errors.ts";
import type { NetworkCreateOptions } from "../networks/networks.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import { noManager } from "./absent.ts";
import { done, json, orNull, param, type Answer, type Call } from "./call.ts";
import { endpoint } from "./create-body.ts";
import { readJson } from "./read-json.ts";
import { anything, flag, listOf, mapOf, object, text } from "./shape.ts";

/** `docker network ls`. */
export function list(call: Call): Answer {
  return json(call.engine.networks.list(call.query.filters(["dangling", "driver", "id", "label", "label!", "name", "scope", "type"])));
}

/** Everything about one network. */
export function inspect(call: Call): Answer {
  return json(call.engine.networks.inspect(param(call, "id"), { verbose: call.query.flag("verbose") }));
}

interface CreateBody {
  Name?: string;
  Driver?: string;
  Scope?: string;
  Internal?: boolean;
  Attachable?: boolean;
  Ingress?: boolean;
  ConfigOnly?: boolean;
  ConfigFrom?: { Network?: string };
  EnableIPv4?: boolean;
  EnableIPv6?: boolean;
  IPAM?: {
    Driver?: string;
    Options?: Record<string, string>;
    Config?: { Subnet?: string; IPRange?: string; Gateway?: string; AuxiliaryAddresses?: Record<string, string> }[];
  };
  Options?: Record<string, string>;
  Labels?: Record<string, string>;
}

const createBody = object({
  Name: text,
  CheckDuplicate: anything,
  Driver: text,
  Scope: text,
  Internal: flag,
  Attachable: flag,
  Ingress: flag,
  ConfigOnly: flag,
  ConfigFrom: object({ Network: text }),
  EnableIPv4: flag,
  EnableIPv6: flag,
  IPAM: object({
    Driver: text,
    Options: mapOf(text),
    Config: listOf(object({ Subnet: text, IPRange: text, Gateway: text, AuxiliaryAddresses: mapOf(text) })),
  }),
  Options: mapOf(text),
  Labels: mapOf(text),
});

/** Makes a network; 201 with its id. */
export async function create(call: Call): Promise<Answer> {
  const body = await readJson<CreateBody>(call, createBody);
  if (body?.Name === undefined || body.Name.trim() === "") throw new LighterError("invalid", "invalid network name: name is empty");
  if (body.Scope === "swarm" || body.Ingress === true || body.Driver === "overlay") {
    return noManager("This node is not a swarm manager, and overlay networks need one: Lighter leaves clusters to Kubernetes");
  }
  const { id, warning } = await call.engine.networks.create(createOptions(body.Name, body));
  return json({ Id: id, Warning: warning }, 201);
}

function createOptions(name: string, body: CreateBody): NetworkCreateOptions {
  const { Driver: driver, Options: options, Config: config } = body.IPAM ?? {};
  return {
    name,
    driver: body.Driver || "bridge",
    internal: body.Internal ?? false,
    attachable: body.Attachable ?? false,
    enableIPv4: body.EnableIPv4 ?? true,
    enableIPv6: body.EnableIPv6 ?? false,
    ipam: {
      ...(driver ? { driver } : {}),
      ...(options && { options }),
      ...(config && {
        config: config.map(({ Subnet, IPRange, Gateway, AuxiliaryAddresses }) => ({
          ...(Subnet ? { subnet: Subnet } : {}),
          ...(IPRange ? { ipRange: IPRange } : {}),
          ...(Gateway ? { gateway: Gateway } : {}),
          ...(AuxiliaryAddresses && { auxAddresses: AuxiliaryAddresses }),
        })),
      }),
    },
    options: body.Options ?? {},
    labels: body.Labels ?? {},
    ...(body.ConfigOnly === true && { configOnly: true }),
    ...(body.ConfigFrom?.Network && { configFrom: body.ConfigFrom.Network }),
  };
}

/** Removes a network that nobody is in. */
export async function remove(call: Call): Promise<Answer> {
  await call.engine.networks.remove(param(call, "id"));
  return done();
}

/** Removes networks that nobody is in. */
export async function prune(call: Call): Promise<Answer> {
  return json({ NetworksDeleted: orNull(await call.engine.networks.prune(call.query.filters(["label", "label!", "until"]))) });
}

const connectBody = object({ Container: text, EndpointConfig: endpoint });

/** Puts a container into a network. */
export async function connect(call: Call): Promise<Answer> {
  const body = await readJson<{ Container?: string; EndpointConfig?: EndpointSettings }>(call, connectBody);
  const container = await containerId(call, body?.Container);
  await call.engine.networks.connect(param(call, "id"), container, body?.EndpointConfig ?? {});
  return done(200);
}

const disconnectBody = object({ Container: text, Force: flag });

/** Takes a container out of a network. */
export async function disconnect(call: Call): Promise<Answer> {
  const body = await readJson<{ Container?: string; Force?: boolean }>(call, disconnectBody);
  const container = await containerId(call, body?.Container);
  await call.engine.networks.disconnect(param(call, "id"), container, { force: body?.Force ?? false });
  return done(200);
}

/** networks/ knows containers by their full id. */
async function containerId(call: Call, reference: string | undefined): Promise<string> {
  if (reference === undefined || reference === "") throw new LighterError("invalid", "invalid container name or ID: value is empty");
  return (await call.engine.containers.inspect(reference)).Id ?? reference;
}
