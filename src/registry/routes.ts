import type { State } from "../state/state.ts";
import { EVERYBODY, type Access, type Scope, type Visitor } from "./access.ts";
import { answer, answerJson, refuse, refuseError } from "./answers.ts";
import { deleteBlob, getBlob } from "./blobs.ts";
import { catalog, tags } from "./lists.ts";
import { deleteManifest, getManifest, putManifest } from "./manifests.ts";
import type { OpenUploads } from "./open-uploads.ts";
import { getReferrers } from "./referrers.ts";
import { MAX_NAME, NAME } from "./references.ts";
import type { Services } from "./services.ts";
import type { Storage } from "./storage.ts";
import { beginUpload, cancelUpload, finishUpload, resumeUpload, uploadStatus } from "./uploads.ts";

/** What every handler works with. */
export interface RegistryContext {
  state: State;
  content: Storage;
  /** Uploads that are open; made with the first one. */
  uploads?: OpenUploads;
  /** What goes on around the protocol: upstreams, notices, metrics. */
  services?: Services;
}

/** What is particular to the way that a request came in. */
export interface Door {
  /** Who is let in; everybody without. */
  access?: Access | undefined;
  /** Nothing is changed. */
  readOnly?: boolean;
  /** Nothing is deleted. */
  noDelete?: boolean;
  /** Repositories that are for reading alone. */
  reserved?: ReadonlySet<string> | undefined;
  /** The address of who asks. */
  address?: string | undefined;
  /** Called when the answer is known, before its body is sent. */
  done?: (told: Told) => void;
}

/** A request that was answered. */
export interface Told {
  route: string;
  call: Call;
  response: Response;
  /** `performance.now()` when it came. */
  started: number;
}

/** A request, taken apart. */
export interface Call {
  request: Request;
  url: URL;
  repository: string;
  /** Tag or digest, a blob's digest, or an upload's id. */
  target: string;
  visitor: Visitor;
  /** The address of who asks; undefined for the unix socket. */
  address?: string | undefined;
}

type Handler = (context: RegistryContext, call: Call) => Promise<Response> | Response;

interface Route {
  name: string;
  path: RegExp;
  methods: Readonly<Record<string, Handler>>;
}

/** The whole protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints */
const ROUTES: readonly Route[] = [
  { name: "base", path: /^\/v2\/?$/, methods: { GET: () => answerJson({}), HEAD: () => answerJson({}) } },
  { name: "catalog", path: /^\/v2\/_catalog$/, methods: { GET: catalog } },
  { name: "tags", path: new RegExp(`^/v2/(${NAME})/tags/list$`), methods: { GET: tags } },
  {
    name: "manifest",
    path: new RegExp(`^/v2/(${NAME})/manifests/([^/]+)$`),
    methods: { GET: getManifest, HEAD: getManifest, PUT: putManifest, DELETE: deleteManifest },
  },
  { name: "uploads", path: new RegExp(`^/v2/(${NAME})/blobs/uploads/?$`), methods: { POST: beginUpload } },
  {
    name: "upload",
    path: new RegExp(`^/v2/(${NAME})/blobs/uploads/([^/]+)$`),
    methods: { GET: uploadStatus, PATCH: resumeUpload, PUT: finishUpload, DELETE: cancelUpload },
  },
  { name: "blob", path: new RegExp(`^/v2/(${NAME})/blobs/([^/]+)$`), methods: { GET: getBlob, HEAD: getBlob, DELETE: deleteBlob } },
  { name: "referrers", path: new RegExp(`^/v2/(${NAME})/referrers/([^/]+)$`), methods: { GET: getReferrers } },
];

/** Answers one request; never throws. */
export async function handle(context: RegistryContext, request: Request, door: Door = {}): Promise<Response> {
  const started = performance.now();
  const { route, call } = routeOf(request);
  call.address = door.address;
  let response: Response;
  try {
    response = await admitted(context, route, call, door);
  } catch (error) {
    response = refuseError(error);
  }
  const told = { route: route?.name ?? "none", call, response, started };
  context.services?.done(told);
  door.done?.(told);
  return response;
}

function routeOf(request: Request): { route: Route | undefined; call: Call } {
  const url = new URL(request.url);
  for (const route of ROUTES) {
    const match = route.path.exec(url.pathname);
    if (match === null) continue;
    return { route, call: { request, url, repository: match[1] ?? "", target: decoded(match[2] ?? ""), visitor: EVERYBODY } };
  }
  return { route: undefined, call: { request, url, repository: "", target: "", visitor: EVERYBODY } };
}

/** What is encoded wrongly stays as it is: it is no tag and no digest. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The answer to a call: whoever asks is let in first, then what they ask is looked at. */
async function admitted(context: RegistryContext, route: Route | undefined, call: Call, door: Door): Promise<Response> {
  const { request, url, repository } = call;
  const scope = route === undefined ? undefined : scopeOf(route.name, call);
  if (door.access !== undefined) {
    const admission = await door.access.admit(request, scope);
    if ("rejection" in admission) {
      const { code, detail, headers } = admission.rejection;
      return refuse(code, detail, headers);
    }
    call.visitor = admission.visitor;
  }
  if (route === undefined) {
    if (url.pathname.startsWith("/v2/")) return refuse("NAME_INVALID", url.pathname);
    // A token may be nobody's: it opens what rights give to everybody, and nothing beside the protocol.
    if (door.access !== undefined && call.visitor.user === undefined) return refuse("DENIED", `${url.pathname} is for those who signed in`);
    return (await context.services?.page(call)) ?? answer(404);
  }
  if (repository.length > MAX_NAME) return refuse("NAME_INVALID", repository);
  if (door.reserved?.has(repository) === true && !isReading(request))
    return refuse("DENIED", `${repository} comes with Lighter: push to another name`);
  const handler = route.methods[request.method];
  const isClosed =
    door.readOnly === true ? !isReading(request) : door.noDelete === true && request.method === "DELETE" && route.name !== "upload";
  if (handler !== undefined && !isClosed) return (await context.services?.answer(route.name, call)) ?? (await handler(context, call));
  const open = Object.keys(route.methods).filter((method) => method !== request.method);
  return refuse("UNSUPPORTED", isClosed ? "this registry does not take changes of that kind" : undefined, { allow: open.join(", ") });
}

/** What somebody must be allowed for a request: uploads, their state and their end belong to a push. */
function scopeOf(route: string, { request, repository }: Call): Scope | undefined {
  if (route === "base") return undefined;
  if (route === "catalog") return { type: "registry", name: "catalog", actions: ["*"] };
  if (route === "upload" || route === "uploads") return { type: "repository", name: repository, actions: ["pull", "push"] };
  if (isReading(request)) return { type: "repository", name: repository, actions: ["pull"] };
  return { type: "repository", name: repository, actions: request.method === "DELETE" ? ["delete"] : ["pull", "push"] };
}

function isReading({ method }: Request): boolean {
  return method === "GET" || method === "HEAD";
}
