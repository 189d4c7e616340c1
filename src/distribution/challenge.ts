/** One way to authenticate that a registry offers in `WWW-Authenticate`. */
export interface Challenge {
  /** Lower case: `bearer` or `basic`. */
  scheme: string;
  parameters: Readonly<Record<string, string>>;
}

/** Parses `WWW-Authenticate`, several challenges in one header included; what does not parse is left out. RFC 9110 section 11.6.1. */
export function parseChallenges(header: string | null): Challenge[] {
  const challenges: Challenge[] = [];
  const pattern = /([!#$%&'*+.^_`|~\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([!#$%&'*+.^_`|~\w-]+)(?=\s|,|$)/g;
  let parameters: Record<string, string> | undefined;
  for (const [, key, quoted, plain, scheme] of (header ?? "").matchAll(pattern)) {
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: (parameters = {}) });
    else if (key !== undefined && parameters !== undefined) {
      parameters[key.toLowerCase()] = quoted === undefined ? (plain ?? "") : quoted.replace(/\\(.)/g, "$1");
    }
  }
  return challenges;
}
