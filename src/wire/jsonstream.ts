/**
 * Progress messages of pull, push, load, import and build: JSON objects one after the other, each on a line.
 * Facts: `CreateImageInfo`, `PushImageInfo` and `BuildInfo` of the Engine API.
 */
export interface ProgressMessage {
  /** Output of a build step or a line to print as it is. */
  stream?: string;
  /** What is done now: `Downloading`, `Pull complete`, `Digest: sha256:...`. */
  status?: string;
  /** Progress in numbers; `units` names what is counted where that is not bytes. */
  progressDetail?: { current?: number; total?: number; start?: number; hidecounts?: boolean; units?: string };
  /** A bar drawn by the daemon, for clients that do not draw themselves. */
  progress?: string;
  /** The layer or object that the status is about; a tag in the first message of a pull. */
  id?: string;
  /** The error's text, twice for the sake of old clients. */
  error?: string;
  errorDetail?: { code?: number; message: string };
  aux?: unknown;
  time?: number;
  timeNano?: number;
  from?: string;
}

/** One message as a line, with the CRLF that Docker writes. */
export function encodeMessage(message: ProgressMessage): string {
  return `${JSON.stringify(message)}\r\n`;
}

/** The two fields of a failure in the middle of a stream, when the status line has long been sent. */
export function errorMessage(message: string, code?: number): ProgressMessage {
  return { errorDetail: code === undefined ? { message } : { code, message }, error: message };
}

/**
 * Takes values out of a stream of JSON objects, whatever stands between them (nothing, newlines, CRLF) and however the
 * pieces are cut; `parse` may take more from the text than JSON.parse does. Throws `SyntaxError` for what is not JSON, and at the end for an object that was cut.
 */
export async function* decodeMessages<T = ProgressMessage>(
  body: AsyncIterable<Uint8Array>,
  parse: (text: string) => T = (text) => JSON.parse(text) as T,
): AsyncGenerator<T> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of body) {
    rest += decoder.decode(piece, { stream: true });
    const end = rest.lastIndexOf("\n");
    if (end < 0) continue;
    const ready = rest.slice(0, end);
    rest = rest.slice(end + 1);
    for (const line of ready.split("\n")) yield* decodeLine(line, parse);
  }
  yield* decodeLine(rest, parse);
}

function* decodeLine<T>(line: string, parse: (text: string) => T): Generator<T> {
  if (line.trim() === "") return;
  let start = 0;
  for (const end of objectEnds(line)) {
    yield parse(line.slice(start, end));
    start = end;
  }
  if (line.slice(start).trim() !== "") yield parse(line.slice(start));
}

/** Where each top-level object or list of a line ends: most lines hold one, some old daemons write several. */
function* objectEnds(line: string): Generator<number> {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < line.length; at++) {
    const char = line[at];
    if (quoted) {
      if (char === "\\") at++;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === "{" || char === "[") depth++;
    else if ((char === "}" || char === "]") && --depth === 0) yield at + 1;
  }
}
