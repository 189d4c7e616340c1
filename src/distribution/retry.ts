import { LighterError } from "../base/errors.ts";
import { isNetworkFailure } from "./network-failure.ts";

const TRANSIENT = new Set([408, 500, 502, 503, 504]);
/** Longer than this nobody waits for a registry that says `Retry-After`, in seconds. */
const LONGEST_WAIT = 30;

/** How often something is asked, and whether a registry that wants to be left alone is waited for. */
export interface Patience {
  /** 1: the first answer or failure is taken as it is. */
  attempts: number;
  /** False: 429 is taken as it is, however short the registry's `Retry-After`. */
  waits?: boolean;
  signal?: AbortSignal | undefined;
}

/** Asks until an answer is worth taking: broken connections, 5xx and 429 with a short `Retry-After` are tried again after a while. */
export async function askPatiently(ask: () => Promise<Response>, { attempts, waits = true, signal }: Patience): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await ask();
      const wait = attempt < attempts ? retryDelay(response, attempt, waits) : undefined;
      if (wait === undefined) return response;
      await response.body?.cancel().catch(() => undefined);
      await pause(wait, signal);
    } catch (error) {
      if (attempt >= attempts || !isBrokenConnection(error)) throw error;
      await pause(backOff(attempt), signal);
    }
  }
}

/** Milliseconds to wait before asking again; undefined where the answer is to be taken as it is. */
function retryDelay(response: Response, attempt: number, waits: boolean): number | undefined {
  const seconds = retryAfter(response.headers.get("retry-after"));
  const asked = seconds !== undefined && seconds <= LONGEST_WAIT ? seconds * 1000 : undefined;
  if (TRANSIENT.has(response.status)) return asked ?? backOff(attempt);
  return response.status === 429 && waits ? asked : undefined;
}

/** Seconds of a `Retry-After` header: a number or a date. RFC 9110 section 10.2.3. */
export function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header.trim())) return Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
}

function backOff(attempt: number): number {
  return Math.min(250 * 2 ** (attempt - 1), 4000) * (0.75 + Math.random() / 2);
}

/** Whether a connection broke in the middle. That is worth another try; a host that cannot be reached is not. */
export function isBrokenConnection(error: unknown): boolean {
  const code = ((error as LighterError | undefined)?.cause as { code?: unknown } | undefined)?.code;
  return isNetworkFailure(error) && (code === "ECONNRESET" || code === "EPIPE");
}

/** Waits, or throws `cancelled` as soon as the signal fires. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancelled = (): void => reject(new LighterError("cancelled", "context canceled"));
    if (signal?.aborted === true) return cancelled();
    const stop = (): void => {
      clearTimeout(timer);
      cancelled();
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
