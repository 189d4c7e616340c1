const SPACE = 0x20;
const NEWLINE = 0x0a;
const DASH = 0x2d;
const LETTER_T = 0x54;
const LETTER_O = 0x6f;
const LETTER_E = 0x65;
const LETTER_F = 0x46;
const LETTER_P = 0x50;
/** Texts up to this length are looked through byte by byte: cheaper than a call. */
const SHORT = 64;

/** Where the space behind the time of a line stands that begins at `start`; -1 when none does. */
export function spaceOf(block: Uint8Array, start: number): number {
  // conmon's times have 35 bytes, as long as the zone is not Z.
  if (isHead(block, start, start + 35)) return start + 35;
  const space = block.indexOf(SPACE, start);
  return space > start && isHead(block, start, space) ? space : -1;
}

/** Whether what begins looks like a time, and stream and mark follow the space behind it; `stdout` and `stderr` differ in their fourth letter. */
function isHead(block: Uint8Array, start: number, space: number): boolean {
  if (block[start + 4] !== DASH || block[start + 10] !== LETTER_T) return false;
  if (block[space] !== SPACE || block[space + 7] !== SPACE || block[space + 9] !== SPACE) return false;
  const letter = block[space + 4];
  const mark = block[space + 8];
  return (letter === LETTER_O || letter === LETTER_E) && (mark === LETTER_F || mark === LETTER_P);
}

/**
 * The lines of a block of conmon's log, one after the other, with no object a line: `next` moves on, the fields say where the parts of the line are
 * in the block. What is no line is passed over. https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
 */
export class LineScan {
  #block: Uint8Array = new Uint8Array(0);
  #at = 0;
  stream: 1 | 2 = 1;
  /** The program's line ends here: its newline follows the text. */
  full = true;
  timeFrom = 0;
  timeTo = 0;
  from = 0;
  /** End of the text; the newline of the log's line stands there. */
  to = 0;

  /** Begins with a block of whole lines. */
  begin(block: Uint8Array): void {
    this.#block = block;
    this.#at = 0;
  }

  /** Where in the block the next line begins. */
  get position(): number {
    return this.#at;
  }

  /** False behind the last line. */
  next(): boolean {
    const block = this.#block;
    while (this.#at < block.length) {
      let start = this.#at;
      // A hole of a file that was truncated under its writer.
      if (block[start] === 0) while (block[start] === 0) start++;
      const space = spaceOf(block, start);
      const right = space > start;
      const mark = space + 8;
      const end = this.#endFrom(right ? mark + 2 : start);
      this.#at = end + 1;
      if (!right || end < mark + 2) continue;
      this.full = block[mark] === LETTER_F;
      this.stream = block[space + 4] === LETTER_O ? 1 : 2;
      this.timeFrom = start;
      this.timeTo = space;
      this.from = mark + 2;
      this.to = end;
      return true;
    }
    return false;
  }

  #endFrom(from: number): number {
    const block = this.#block;
    const near = Math.min(from + SHORT, block.length);
    for (let at = from; at < near; at++) if (block[at] === NEWLINE) return at;
    const far = block.indexOf(NEWLINE, near);
    return far < 0 ? block.length : far;
  }
}

/** The times of lines as numbers and as text, with what thousands of lines share (their second) parsed once. */
export class LineTimes {
  #head = "";
  #key: Uint8Array = new Uint8Array(0);
  #keyLength = 0;
  #zoneFrom = 0;
  /** Seconds since the epoch of the line that was read last. */
  seconds = 0;
  nanos = 0;

  /** Reads the time between two places of a block; false when it is none. */
  read(block: Uint8Array, from: number, to: number): boolean {
    if (!this.#sameSecond(block, from, to) && !this.#parse(block, from, to)) return false;
    let nanos = 0;
    let digits = 0;
    for (let at = from + 20; at < from + this.#zoneFrom; at++, digits++) nanos = nanos * 10 + (block[at] ?? 0) - 0x30;
    for (; digits < 9; digits++) nanos *= 10;
    this.nanos = nanos;
    return true;
  }

  /** Writes the time as RFC 3339 in UTC with nine digits, 30 bytes, to a place. */
  write(into: Uint8Array, at: number): void {
    for (let index = 0; index < 19; index++) into[at + index] = this.#head.charCodeAt(index);
    into[at + 19] = 0x2e;
    let rest = this.nanos;
    for (let index = 28; index > 19; index--) {
      into[at + index] = 0x30 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    into[at + 29] = 0x5a;
  }

  /** All but the fraction is as in the line before. */
  #sameSecond(block: Uint8Array, from: number, to: number): boolean {
    if (to - from !== this.#keyLength) return false;
    const key = this.#key;
    for (let index = 0; index < 20; index++) if (block[from + index] !== key[index]) return false;
    for (let index = this.#zoneFrom; index < key.length; index++) if (block[from + index] !== key[index]) return false;
    return true;
  }

  #parse(block: Uint8Array, from: number, to: number): boolean {
    const text = Buffer.from(block.buffer, block.byteOffset + from, to - from).toString("latin1");
    const [, second, fraction = "", zone] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? [];
    const milliseconds = Date.parse(`${second}${zone}`);
    if (second === undefined || Number.isNaN(milliseconds)) return false;
    this.seconds = milliseconds / 1000;
    this.#head = new Date(milliseconds).toISOString().slice(0, 19);
    this.#keyLength = to - from;
    this.#key = block.slice(from, to);
    this.#zoneFrom = 19 + fraction.length;
    // Without a fraction the digits would be looked for behind the zone's first letter.
    if (fraction === "") this.#keyLength = -1;
    return true;
  }
}
