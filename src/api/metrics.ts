import { LighterError } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Engine } from "../engine/engine.ts";
import type { Address } from "../transport/address.ts";
import type { Exchange } from "../transport/exchange.ts";

/** Where metrics are served: `HOST:PORT` or `:PORT`. Throws `invalid`. */
export function metricsAddress(text: string): Address {
  const [, bracketed, plain = "", port = ""] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  if (port === "" || Number(port) > 65535)
    throw new LighterError("invalid", `Cannot serve metrics on ${JSON.stringify(text)}: expected HOST:PORT`);
  return { kind: "tcp", hostname: bracketed ?? (plain || "0.0.0.0"), port: Number(port) };
}

/** `GET /metrics` for Prometheus, and nothing else. */
export function metricsDoor(metrics: NonNullable<Engine["metrics"]>): (exchange: Exchange) => void {
  return (exchange) => {
    const { method, target } = exchange.head;
    const plain = { "Content-Type": "text/plain; charset=utf-8" };
    if (target.split("?")[0] !== "/metrics") return exchange.answer(404, plain, "404 page not found\n");
    if (method !== "GET" && method !== "HEAD") return exchange.answer(405, { ...plain, Allow: "GET, HEAD" }, "Method Not Allowed\n");
    metrics()
      .then(({ type, text }) => exchange.answer(200, { "Content-Type": type }, text))
      .catch((error: unknown) => {
        logOf("api").error("metrics: {error}", { error });
        if (!exchange.answered) exchange.answer(500, plain, "internal error\n");
      });
  };
}
