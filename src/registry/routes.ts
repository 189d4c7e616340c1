import type { State } from "../state/state.ts";
import { answer, answerJson, refuse, refuseError } from "./answers.ts";
import { deleteBlob, getBlob } from "./blobs.ts";
import { deleteManifest, getManifest, putManifest } from "./manifests.ts";
import { hasRepository, repositoriesAfter, tagsAfter } from "./rows.ts";
import type { Storage } from "./storage.ts";
import { beginUpload, cancelUpload, finishUpload, resumeUpload, uploadStatus } from "./uploads.ts";

/** What every handler works with. */
export interface RegistryContext {
  state: State;
  content: Storage;
}

/** A request, taken apart. */
export interface Call {
  request: Request;
  url: URL;
  repository: string;
  /** Tag or digest, a blob's digest, or an upload's id. */
  target: string;
}

type Handler = (context: RegistryContext, call: Call) => Promise<Response> | Response;

const NAME = "([a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*)*)";

/** The whole protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints */
const ROUTES: readonly { path: RegExp; methods: Readonly<Record<string, Handler>> }[] = [
  { path: /^\/v2\/?$/, methods: { GET: () => answerJson({}), HEAD: () => answerJson({}) } },
  { path: /^\/v2\/_catalog$/, methods: { GET: catalog } },
  { path: new RegExp(`^/v2/${NAME}/tags/list$`), methods: { GET: tags } },
  {
    path: new RegExp(`^/v2/${NAME}/manifests/([^/]+)$`),
    methods: { GET: getManifest, HEAD: getManifest, PUT: putManifest, DELETE: deleteManifest },
  },
  { path: new RegExp(`^/v2/${NAME}/blobs/uploads/?$`), methods: { POST: beginUpload } },
  {
    path: new RegExp(`^/v2/${NAME}/blobs/uploads/([^/]+)$`),
    methods: { GET: uploadStatus, PATCH: resumeUpload, PUT: finishUpload, DELETE: cancelUpload },
  },
  { path: new RegExp(`^/v2/${NAME}/blobs/([^/]+)$`), methods: { GET: getBlob, HEAD: getBlob, DELETE: deleteBlob } },
];

/** Answers one request; never throws. */
export async function handle(context: RegistryContext, request: Request): Promise<Response> {
  const url = new URL(request.url);
  try {
    for (const { path, methods } of ROUTES) {
      const match = path.exec(url.pathname);
      if (match === null) continue;
      const handler = methods[request.method];
      if (handler === undefined) return refuse("UNSUPPORTED", undefined, { allow: Object.keys(methods).join(", ") });
      const call = { request, url, repository: match[1] ?? "", target: decodeURIComponent(match[2] ?? "") };
      return await handler(context, call);
    }
    return url.pathname.startsWith("/v2/") ? refuse("NAME_INVALID", url.pathname) : answer(404);
  } catch (error) {
    return refuseError(error);
  }
}

function catalog({ state }: RegistryContext, { url }: Call): Response {
  const { last, limit } = pageOf(url);
  const repositories = repositoriesAfter(state, last, limit);
  return answerJson({ repositories }, nextLink(url, repositories, limit));
}

function tags({ state }: RegistryContext, { url, repository }: Call): Response {
  if (!hasRepository(state, repository)) return refuse("NAME_UNKNOWN", repository);
  const { last, limit } = pageOf(url);
  const found = tagsAfter(state, repository, last, limit);
  return answerJson({ name: repository, tags: found }, nextLink(url, found, limit));
}

function pageOf(url: URL): { last: string; limit: number } {
  const asked = Number(url.searchParams.get("n") ?? 1000);
  return { last: url.searchParams.get("last") ?? "", limit: Number.isInteger(asked) && asked >= 0 ? Math.min(asked, 10_000) : 1000 };
}

/** A full page may have a next one (RFC 8288). */
function nextLink(url: URL, page: string[], limit: number): Record<string, string> {
  const last = page.at(-1);
  if (last === undefined || page.length < limit) return {};
  return { link: `<${url.pathname}?n=${limit}&last=${encodeURIComponent(last)}>; rel="next"` };
}
