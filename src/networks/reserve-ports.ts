import { LighterError } from "../base/errors.ts";
import type { Tx } from "../state/state.ts";
import { type Binding, EPHEMERAL, bindingsOf } from "./bindings.ts";
import { type Context, OPTION, heldOf, onRollback } from "./context.ts";
import type { NetworkRequest } from "./networks.ts";
import { dropPort, holdPort } from "./port-sockets.ts";
import { type EndpointRow, insertPort, networkById, portHolder } from "./rows.ts";

let nextEphemeral: number = EPHEMERAL.first;

/** Takes the host ports of a container: a row and a bound socket each. Throws `conflict` with Docker's texts for one in use. */
export function reservePorts(context: Context, tx: Tx, request: NetworkRequest, endpoint: EndpointRow): void {
  reserveBindings(context, tx, { container: request.containerId, endpoint, bindings: bindingsOf(request) });
}

/** As {@link reservePorts}, for some of a container's wishes. */
export function reserveBindings(
  context: Context,
  tx: Tx,
  { container, endpoint, bindings }: { container: string; endpoint: EndpointRow; bindings: readonly Binding[] },
): void {
  const sockets = heldOf(context, container).sockets;
  const before = sockets.length;
  onRollback(tx, () => {
    for (const fd of sockets.splice(before)) dropPort(fd);
  });
  if (bindings.length === 0) return;
  const defaultAddress = networkById(tx, endpoint.network)?.config.options[OPTION.hostBinding] ?? "0.0.0.0";
  for (const binding of bindings) {
    const addresses = addressesOf(binding, endpoint, defaultAddress);
    const hostPort = takePort(tx, binding, addresses, endpoint, sockets);
    for (const hostAddress of addresses) {
      insertPort(tx, {
        protocol: binding.protocol,
        hostAddress,
        hostPort,
        container,
        containerPort: binding.containerPort,
        endpoint: endpoint.id,
      });
    }
  }
}

/** The network's default where no address was named, mostly every one of the host: of IPv6 only if the container can be reached by it. */
function addressesOf({ hostAddress }: Binding, endpoint: EndpointRow, defaultAddress: string): string[] {
  if (hostAddress !== "") return [hostAddress];
  if (defaultAddress !== "0.0.0.0") return [defaultAddress];
  return endpoint.address6 === undefined ? ["0.0.0.0"] : endpoint.address4 === undefined ? ["::"] : ["0.0.0.0", "::"];
}

function takePort(tx: Tx, binding: Binding, addresses: string[], endpoint: EndpointRow, sockets: number[]): number {
  const failures: LighterError[] = [];
  for (const hostPort of candidates(binding)) {
    const failure = tryPort(tx, { binding, addresses, hostPort, endpoint, sockets });
    if (failure === undefined) return hostPort;
    failures.push(failure);
  }
  const [only] = failures;
  if (only !== undefined && failures.length === 1) throw only;
  throw failedOn(
    endpoint,
    binding.first === 0
      ? "all ports are allocated"
      : `Bind for ${addresses[0]}:${binding.first}-${binding.last} failed: all ports are allocated`,
  );
}

function* candidates({ first, last }: Binding): Generator<number> {
  for (let port = first; first > 0 && port <= last; port++) yield port;
  if (first > 0) return;
  const count = EPHEMERAL.last - EPHEMERAL.first + 1;
  for (let tried = 0; tried < count; tried++) {
    const port = nextEphemeral;
    nextEphemeral = port === EPHEMERAL.last ? EPHEMERAL.first : port + 1;
    yield port;
  }
}

function tryPort(
  tx: Tx,
  {
    binding,
    addresses,
    hostPort,
    endpoint,
    sockets,
  }: { binding: Binding; addresses: string[]; hostPort: number; endpoint: EndpointRow; sockets: number[] },
): LighterError | undefined {
  const taken: number[] = [];
  for (const hostAddress of addresses) {
    const port = { protocol: binding.protocol, hostAddress, hostPort };
    const where = `${hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress}:${hostPort}`;
    const failure =
      portHolder(tx, port) === undefined ? holdPort(port) : failedOn(endpoint, `Bind for ${where} failed: port is already allocated`);
    if (typeof failure === "number") {
      taken.push(failure);
      continue;
    }
    for (const fd of taken) dropPort(fd);
    if (typeof failure !== "string") return failure;
    const target = `${endpoint.address4 ?? endpoint.address6}:${binding.containerPort}/${binding.protocol}`;
    return failedOn(endpoint, `failed to bind host port for ${where}:${target}: ${REASON[failure] ?? failure}`);
  }
  sockets.push(...taken);
  return undefined;
}

/** The kernel's words for why a port cannot be bound. */
const REASON: Readonly<Record<string, string>> = {
  EADDRINUSE: "address already in use",
  EADDRNOTAVAIL: "cannot assign requested address",
  EACCES: "permission denied",
};

function failedOn(endpoint: EndpointRow, what: string): LighterError {
  const { id, config } = endpoint;
  return new LighterError(
    "conflict",
    `driver failed programming external connectivity on endpoint ${config.containerName} (${id}): ${what}`,
  );
}
