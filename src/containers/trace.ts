import { logOf } from "../base/log.ts";

/** Collects the named spans of one operation and logs them as one line; made by {@link traceOf}. */
export interface Trace {
  /** Runs synchronous work under a name. */
  sync<T>(name: string, work: () => T): T;
  /** Awaits work under a name. */
  span<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Writes the line `trace <operation> <id> name=ms ...`; `bench/run.ts` reads it. */
  end(): void;
}

const log = logOf("containers");
const enabled = process.env["LIGHTER_TRACE"] !== undefined && process.env["LIGHTER_TRACE"] !== "";

const SILENT: Trace = { sync: (_name, work) => work(), span: (_name, work) => work(), end: () => undefined };

/** A trace of one operation on one container: real with `LIGHTER_TRACE` in the environment, free otherwise. Times are milliseconds. */
export function traceOf(operation: string, id: string): Trace {
  return enabled ? recorder(operation, id) : SILENT;
}

function recorder(operation: string, id: string): Trace {
  const begun = performance.now();
  const spans: [string, number][] = [];
  return {
    sync(name, work) {
      const from = performance.now();
      try {
        return work();
      } finally {
        spans.push([name, performance.now() - from]);
      }
    },
    async span(name, work) {
      const from = performance.now();
      try {
        return await work();
      } finally {
        spans.push([name, performance.now() - from]);
      }
    },
    end() {
      const total = performance.now() - begun;
      const parts = spans.map(([name, ms]) => `${name}=${ms.toFixed(3)}`).join(" ");
      log.info("trace {operation} {id} total={total} {parts}", { operation, id: id.slice(0, 12), total: total.toFixed(3), parts });
    },
  };
}
