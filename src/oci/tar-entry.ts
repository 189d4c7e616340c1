import type { Nanoseconds } from "../base/clock.ts";

/** Bytes as a string, one character (0 to 255) a byte: file names are bytes, and not always UTF-8. */
export type ByteString = string;

/** What a member is. */
export type TarType = "file" | "link" | "symlink" | "char" | "block" | "directory" | "fifo";

/** A run of bytes of a sparse file that is stored; what lies between is a hole. */
export interface TarSpan {
  offset: number;
  size: number;
}

/** One member of a tar archive, whatever dialect described it. */
export interface TarEntry {
  type: TarType;
  /** As it stands in the archive: may begin with `/` or `./`, may hold `..`, ends with `/` for most directories. */
  path: ByteString;
  /** Target of a symbolic link, or path of the member that a hard link repeats; empty otherwise. */
  link: ByteString;
  /** The permission bits with setuid, setgid and sticky (07777). */
  mode: number;
  uid: number;
  gid: number;
  user: ByteString;
  group: ByteString;
  /** Bytes of the file once unpacked, holes included. */
  size: number;
  mtime: Nanoseconds;
  atime?: Nanoseconds;
  major: number;
  minor: number;
  /** Extended attributes by name, binary values. */
  xattrs?: Map<string, Uint8Array>;
  /** What is stored of a sparse file, in order; absent for an ordinary one. */
  spans?: TarSpan[];
}

/** The UTF-8 text as bytes, in the form that paths of entries have; what {@link pathText} set aside comes back as it was. */
export function byteString(text: string): ByteString {
  if (isAscii(text)) return text;
  if (text.isWellFormed()) return Buffer.from(text, "utf8").toString("latin1");
  const bytes = Array.from(text, (char) => (isSetAside(char) ? Buffer.of(char.charCodeAt(0) - ASIDE) : Buffer.from(char, "utf8")));
  return Buffer.concat(bytes).toString("latin1");
}

/** Bytes that are no UTF-8 stand here in a text: halves of a pair, which no text has alone. */
const ASIDE = 0xdc00;

function isSetAside(char: string): boolean {
  return char >= "\udc80" && char <= "\udcff";
}

/** The path that bytes stand for, read as UTF-8, from which {@link byteString} makes the very same bytes: one that is none keeps what it is. */
export function pathText(bytes: ByteString): string {
  const text = textOf(bytes);
  if (!text.includes("\ufffd") || byteString(text) === bytes) return text;
  let path = "";
  for (let at = 0; at < bytes.length;) {
    const [char = ""] = textOf(bytes.slice(at, at + 4));
    const size = byteString(char).length;
    const whole = bytes.startsWith(byteString(char), at);
    path += whole ? char : String.fromCharCode(ASIDE + bytes.charCodeAt(at));
    at += whole ? size : 1;
  }
  return path;
}

/** The text that bytes stand for, read as UTF-8; for people to read. */
export function textOf(bytes: ByteString): string {
  return isAscii(bytes) ? bytes : Buffer.from(bytes, "latin1").toString("utf8");
}

/** Whether every byte is below 128. */
export function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 127) return false;
  return true;
}
