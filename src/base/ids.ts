const HEX_ID = /^[0-9a-f]{64}$/;

/** A new random 256-bit id in 64 lower-case hex digits (containers, execs, networks, anonymous volumes). */
export function newId(): string {
  const id = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
  // Docker never hands out an id whose short form reads as a number: it would be a bad host name and a bad YAML string.
  return /^[0-9]+$/.test(shortId(id)) ? newId() : id;
}

/** The 12-digit form of an id or of a `sha256:` digest, as Docker prints it. */
export function shortId(id: string): string {
  const hex = id.startsWith("sha256:") ? id.slice(7) : id;
  return hex.slice(0, 12);
}

/** Whether `text` is a full 64-digit id. */
export function isFullId(text: string): boolean {
  return HEX_ID.test(text);
}
