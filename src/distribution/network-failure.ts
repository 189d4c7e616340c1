import { LighterError, messageOf } from "../base/errors.ts";

const failures = new WeakSet<object>();

/** Whether an error says that no answer came at all (no route, no name, refused, timed out), as opposed to an answer that refuses. */
export function isNetworkFailure(error: unknown): boolean {
  return typeof error === "object" && error !== null && failures.has(error);
}

/**
 * The error for a request that got no answer, in the words of Docker: `Get "https://host/v2/": dial tcp: lookup host: no such host`.
 * @param proxy URL of the proxy it went by
 */
export function networkFailure(method: string, url: string, cause: unknown, proxy?: string): LighterError {
  const verb = method.slice(0, 1) + method.slice(1).toLowerCase();
  const byProxy = proxy !== undefined && isUnreachable(cause);
  const reason = byProxy ? `proxyconnect tcp: ${reasonOf(proxy, cause)}` : reasonOf(url, cause);
  const error = new LighterError("unavailable", `${verb} "${url}": ${reason}`, { cause });
  failures.add(error);
  return error;
}

/** The error for a request that was given up after `milliseconds` without an answer. */
export function timedOut(method: string, url: string): LighterError {
  return networkFailure(method, url, { code: "ETIMEDOUT" });
}

/** The error for an answer that began, and whose body broke off or never ended. Worth asking again. */
export function brokenBody(url: string, cause: unknown): LighterError {
  const late = (cause as { code?: unknown } | null)?.code === "ETIMEDOUT";
  const reason = late ? "the registry sends too slowly" : "unexpected EOF";
  const error = new LighterError("unavailable", `Get "${url}": ${reason}`, { cause });
  if (!late) cutShort.add(error);
  return error;
}

const cutShort = new WeakSet<object>();

/** Whether an answer began and its connection broke before its end. */
export function isCutShort(error: unknown): boolean {
  return typeof error === "object" && error !== null && cutShort.has(error);
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connect: connection refused",
  EHOSTUNREACH: "connect: no route to host",
  ENETUNREACH: "connect: network is unreachable",
  ENOENT: "connect: no such file or directory",
};

/** Whether nobody was there to connect to: where there is a proxy, that was it. */
function isUnreachable(cause: unknown): boolean {
  const code = String((cause as { code?: unknown } | null)?.code ?? "");
  return REASONS[code] !== undefined || isUnknownName(code);
}

function isUnknownName(code: string): boolean {
  return /^(ENOTFOUND|EAI_|DNS_)/.test(code);
}

function reasonOf(url: string, cause: unknown): string {
  const code = String((cause as { code?: unknown } | null)?.code ?? "");
  const { hostname, host, port, protocol } = new URL(url);
  if (isUnknownName(code)) return `dial tcp: lookup ${hostname}: no such host`;
  const reason = REASONS[code];
  if (reason !== undefined) return `dial tcp ${port === "" ? `${host}:${protocol === "https:" ? 443 : 80}` : host}: ${reason}`;
  if (code === "ETIMEDOUT")
    return "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)";
  if (code === "ECONNRESET" || code === "EPIPE") return "read: connection reset by peer";
  if (code === "EPROTO") return "http: server gave HTTP response to HTTPS client";
  if (code === "ERR_PROXY_TUNNEL") return `proxyconnect tcp: ${messageOf(cause)}`;
  return isCertificateProblem(cause)
    ? `tls: failed to verify certificate: ${certificateReason(code, hostname) ?? messageOf(cause)}`
    : messageOf(cause);
}

/** What is wrong with a certificate, in the words that Docker's users look for. */
function certificateReason(code: string, hostname: string): string | undefined {
  if (/SELF_SIGNED|UNABLE_TO_/.test(code)) return "x509: certificate signed by unknown authority";
  if (/EXPIRED|NOT_YET_VALID/.test(code)) return "x509: certificate has expired or is not yet valid";
  return /ALTNAME|HOSTNAME/.test(code) ? `x509: certificate is not valid for ${hostname}` : undefined;
}

/** Whether a connection failed for the other side's certificate: an answer of sorts, and nothing to retry. */
export function isCertificateProblem(cause: unknown): boolean {
  const code = String((cause as { code?: unknown } | null)?.code ?? "");
  return /CERT|SELF_SIGNED|UNABLE_TO_|HOSTNAME|ALTNAME/.test(code);
}

/** An answer-like failure of TLS: never a reason to ask somebody else. */
export function certificateFailure(method: string, url: string, cause: unknown): LighterError {
  const verb = method.slice(0, 1) + method.slice(1).toLowerCase();
  return new LighterError("unavailable", `${verb} "${url}": ${reasonOf(url, cause)}`, { cause });
}
