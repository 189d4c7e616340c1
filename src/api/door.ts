import { LighterError } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Engine } from "../engine/engine.ts";
import { VERSION } from "../engine/version.ts";
import type { Exchange, Headers } from "../transport/exchange.ts";
import type { Answer, Call, CallBody } from "./call.ts";
import { errorAnswer } from "./errors.ts";
import { negotiate, NEWEST } from "./negotiate.ts";
import { Query } from "./query.ts";
import { makeRouter } from "./router.ts";
import { ROUTES } from "./routes.ts";
import { nameOf, shapeAnswer, shapeQuery } from "./versions.ts";

/** A request without a socket: what {@link answerRequest} needs. */
export interface ApiRequest {
  method: string;
  /** Path and query as sent. */
  target: string;
  headers: ReadonlyMap<string, string>;
  body: CallBody;
  readonly signal: AbortSignal;
}

/** Sent with every answer; some clients take the daemon's version and platform from here. */
const COMMON: Headers = {
  "Api-Version": `1.${NEWEST}`,
  "Docker-Experimental": "false",
  Ostype: "linux",
  Server: `Lighter/${VERSION} (linux)`,
};
const JSON_TYPE: Headers = { "Content-Type": "application/json" };
const TEXT_TYPE: Headers = { "Content-Type": "text/plain; charset=utf-8" };

/** The headers of answers without a type, with JSON and with text. */
interface Heads {
  common: Headers;
  json: Headers;
  text: Headers;
}

function headsOf(engine: Engine): Heads {
  const common = engine.experimental === true ? { ...COMMON, "Docker-Experimental": "true" } : COMMON;
  return { common, json: { ...common, ...JSON_TYPE }, text: { ...common, ...TEXT_TYPE } };
}

const find = makeRouter(ROUTES);

/** Finds the route, calls its handler, and shapes its JSON for old clients. Never throws: errors are answers. */
export async function answerRequest(engine: Engine, request: ApiRequest): Promise<Answer> {
  try {
    const mark = request.target.indexOf("?");
    const target = mark < 0 ? request.target : request.target.slice(0, mark);
    const { version, path } = negotiate(decodePath(target));
    const match = find(request.method, path);
    if (match === undefined) throw new LighterError("not-found", "page not found");
    const route = nameOf(match.route);
    if (version < (match.route.since ?? 0))
      throw new LighterError("invalid", `${route} requires minimum API version 1.${match.route.since}`);
    const query = new Query(mark < 0 ? "" : request.target.slice(mark + 1));
    if (version < NEWEST) shapeQuery(version, route, query);
    const call: Call = {
      engine,
      version,
      route,
      warnings: [],
      params: match.params,
      query,
      body: request.body,
      get signal() {
        return request.signal;
      },
      header: (name) => request.headers.get(name),
    };
    const answer = await match.route.handle(call);
    if ("json" in answer && version < NEWEST) shapeAnswer(call, answer.json);
    return answer;
  } catch (error) {
    return errorAnswer(error);
  }
}

/** The Engine API as a handler of HTTP exchanges. */
export function engineApi(engine: Engine): (exchange: Exchange) => void {
  const heads = headsOf(engine);
  return (exchange) => {
    const { method, target, headers } = exchange.head;
    const request: ApiRequest = {
      method,
      target,
      headers,
      body: exchange.body,
      get signal() {
        return exchange.signal;
      },
    };
    answerRequest(engine, request)
      .then((answer) => send(exchange, answer, heads))
      .catch((error: unknown) => {
        logOf("api").error("{method} {target}: {error}", { method, target, error });
        if (!exchange.answered) exchange.answer(500, heads.json, JSON.stringify({ message: "internal error" }));
      });
  };
}

async function send(exchange: Exchange, answer: Answer, heads: Heads): Promise<void> {
  if ("hijack" in answer) {
    const stream = exchange.hijack(answer.hijack);
    try {
      await answer.run(stream);
    } finally {
      stream.end();
    }
    return;
  }
  const own = answer.headers;
  if ("json" in answer) exchange.answer(answer.status, own ? { ...heads.json, ...own } : heads.json, `${JSON.stringify(answer.json)}\n`);
  else if ("text" in answer) exchange.answer(answer.status, { ...heads.text, ...own }, answer.text);
  else if ("stream" in answer) {
    const out = exchange.stream(answer.status, { ...heads.common, ...own });
    try {
      await answer.stream(out);
    } catch (error) {
      out.abort();
      if (!exchange.signal.aborted) logOf("api").warn("{target}: {error}", { target: exchange.head.target, error });
      return;
    }
    out.end();
  } else exchange.answer(answer.status, own ? { ...heads.common, ...own } : heads.common);
}

/** Slashes in a row are one: clients put a host that ends in a slash before the path. Escaped ones stay a part of a name. */
function decodePath(raw: string): string {
  const path = raw.startsWith("/") && raw.includes("//") ? raw.replaceAll(/\/{2,}/g, "/") : raw;
  if (!path.includes("%")) return path;
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new LighterError("invalid", `invalid URL escape in "${path}"`, { cause });
  }
}
