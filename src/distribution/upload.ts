import { kindOf } from "../base/errors.ts";
import type { Digest } from "../oci/image.ts";
import { pause, type Connection } from "./connection.ts";
import {
  beginUpload,
  cancelUpload,
  finishUpload,
  patchUpload,
  refusedBy,
  resumeUpload,
  type Piece,
  type UploadSession,
  type UploadTarget,
} from "./upload-session.ts";

/** What an upload needs: the same as `Repository.upload` takes. */
export interface UploadOptions {
  digest: Digest;
  size: number;
  open: (offset: number) => ReadableStream<Uint8Array>;
  mountFrom?: string | readonly string[];
  /** Told where the blob was mounted from. */
  mounted?: (from: string) => void;
  progress?: (done: number) => void;
  signal?: AbortSignal;
}

/** Failures in a row without a byte more at the registry. */
const FRUITLESS = 5;
/** For registries, or proxies before them, that take no larger request. Bytes. */
const CHUNK = 32 << 20;

/** Uploads that were given up, so that a later push goes on with them: by connection, then repository and digest. */
const left = new WeakMap<Connection, Map<string, UploadSession>>();
const MOST_LEFT = 256;

/** How a blob is sent: in one streamed request, in several (the first was too large), or with the request that closes the upload. */
type Manner = "stream" | "chunks" | "whole";

/** Uploads a blob that the registry lacks, or has it mounted; goes on from where the registry says it is after a failure. */
export async function uploadBlob(
  target: UploadTarget,
  options: UploadOptions,
  exists: () => Promise<boolean>,
): Promise<"uploaded" | "mounted" | "exists"> {
  const mounted = await mount(target, options);
  if (mounted === "mounted") return mounted;
  const upload = new Upload(target, options, mounted ?? takeLeft(target, options.digest), mounted === undefined, exists);
  try {
    return await upload.run();
  } catch (error) {
    // What broke off is gone on with; what the registry does not want is no use to anybody.
    if (refusedBy(error) === undefined || isPassing(refusedBy(error)?.status)) leave(target, options.digest, upload.session);
    else if (upload.session !== undefined) await cancelUpload(target, upload.session);
    throw error;
  }
}

/** Whether a refusal is no word about what was sent. */
function isPassing(status: number | undefined): boolean {
  return status === undefined || status === 401 || status === 408 || status === 429 || status >= 500;
}

/** Undefined where the registry refuses: whoever may not read there may still send. One that is busy with the same blob is asked again. */
async function tryMount(
  target: UploadTarget,
  digest: Digest,
  from: string,
  signal: AbortSignal | undefined,
): Promise<UploadSession | "mounted" | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await beginUpload(target, { digest, from, signal });
    } catch (error) {
      const refused = refusedBy(error);
      if (refused === undefined) throw error;
      if (refused.status !== 503 || attempt >= FRUITLESS) return undefined;
      await pause(refused.wait ?? 500, signal);
    }
  }
}

/** Asks to mount from each repository in turn; the session that comes instead, if any, is used. */
async function mount(target: UploadTarget, options: UploadOptions): Promise<UploadSession | "mounted" | undefined> {
  const { digest, signal, mountFrom = [] } = options;
  let session: UploadSession | undefined;
  for (const from of typeof mountFrom === "string" ? [mountFrom] : mountFrom) {
    if (session !== undefined) await cancelUpload(target, session);
    session = undefined;
    const answer = await tryMount(target, digest, from, signal);
    if (answer === "mounted") {
      options.mounted?.(from);
      return answer;
    }
    session = answer;
  }
  return session;
}

function takeLeft({ connection, repository }: UploadTarget, digest: Digest): UploadSession | undefined {
  const key = `${repository} ${digest}`;
  const session = left.get(connection)?.get(key);
  left.get(connection)?.delete(key);
  return session;
}

function leave({ connection, repository }: UploadTarget, digest: Digest, session: UploadSession | undefined): void {
  if (session === undefined) return;
  const known = left.get(connection) ?? new Map<string, UploadSession>();
  if (known.size >= MOST_LEFT) known.clear();
  left.set(connection, known.set(`${repository} ${digest}`, session));
}

class Upload {
  readonly #target: UploadTarget;
  readonly #options: UploadOptions;
  readonly #exists: () => Promise<boolean>;
  #session: UploadSession | undefined;
  #manner: Manner = "stream";
  #failures = 0;
  #furthest = 0;
  /** The session may have more or less than we know. */
  #unsure: boolean;
  /** Went on where an earlier try had come to, and began anew because of what came of that. */
  #resumed = false;
  #anew = false;

  constructor(
    target: UploadTarget,
    options: UploadOptions,
    session: UploadSession | undefined,
    unsure: boolean,
    exists: () => Promise<boolean>,
  ) {
    this.#target = target;
    this.#options = options;
    this.#session = session;
    this.#unsure = unsure;
    this.#exists = exists;
  }

  /** What there is of it at the registry; undefined where nothing is known. */
  get session(): UploadSession | undefined {
    return this.#session;
  }

  async run(): Promise<"uploaded" | "exists"> {
    for (;;) {
      try {
        if ((await this.#locate()) === "done") return "exists";
        await this.#send();
        return "uploaded";
      } catch (error) {
        if ((await this.#recover(error)) === "done") return "exists";
      }
    }
  }

  async #locate(): Promise<"there" | "done"> {
    const { digest, signal } = this.#options;
    if (this.#session !== undefined && this.#unsure) {
      this.#session = await resumeUpload(this.#target, this.#session, signal);
      // A session that is gone may have been closed by what was sent last.
      if (this.#session === undefined && (await this.#exists())) return "done";
    }
    this.#unsure = false;
    if (this.#session === undefined || this.#session.offset > this.#options.size) {
      this.#session = (await beginUpload(this.#target, { digest, signal })) as UploadSession;
    }
    if (this.#session.offset > 0) this.#resumed = true;
    if (this.#session.offset > this.#furthest) this.#failures = 0;
    this.#furthest = Math.max(this.#furthest, this.#session.offset);
    return "there";
  }

  async #send(): Promise<void> {
    const { digest, size, signal } = this.#options;
    let session = this.#session as UploadSession;
    if (this.#manner === "whole") return finishUpload(this.#target, session, digest, { whole: this.#piece(0, size) });
    const most = this.#manner === "stream" ? size : Math.max(CHUNK, session.leastChunk);
    while (session.offset < size) {
      const piece = this.#piece(session.offset, Math.min(size, session.offset + most));
      this.#session = session = await patchUpload(this.#target, session, piece, size);
    }
    await finishUpload(this.#target, session, digest, { signal });
  }

  /** Makes the next try possible, or throws what cannot be helped. */
  async #recover(error: unknown): Promise<"again" | "done"> {
    const refused = refusedBy(error);
    if (refused === undefined && kindOf(error) !== "unavailable") throw error;
    const status = refused?.status;
    this.#unsure = true;
    if (++this.#failures > FRUITLESS) throw error;
    // A token may end while a body is under way; who is refused from the start, or twice, may not.
    if (status === 401 && (this.#session === undefined || this.#failures > 1)) throw error;
    if (status === 413 && this.#manner === "stream") return this.#change("chunks");
    if ((status === 405 || status === 501) && this.#manner !== "whole") return this.#change("whole");
    if (status === 404 || (status === 400 && this.#resumed && !this.#anew)) {
      // The session is lost, or what it holds is not our blob; what was sent last may still have arrived whole.
      this.#anew ||= status === 400;
      this.#session = undefined;
      if (await this.#exists()) return "done";
    } else if (status !== undefined && ![401, 408, 416, 429].includes(status) && (status < 500 || status === 507)) throw error;
    if (this.#manner === "whole") this.#session = undefined;
    await pause(refused?.wait ?? Math.min(8_000, 125 * 2 ** this.#failures), this.#options.signal);
    return "again";
  }

  #change(manner: Manner): "again" {
    this.#manner = manner;
    this.#session = undefined;
    return "again";
  }

  #piece(start: number, end: number): Piece {
    const { open, progress, signal } = this.#options;
    return { start, end, body: limited(open(start), start, end, progress), signal };
  }
}

/** The bytes from `start` to `end` of a stream that begins at `start`, counted. */
function limited(
  stream: ReadableStream<Uint8Array>,
  start: number,
  end: number,
  progress: ((done: number) => void) | undefined,
): ReadableStream<Uint8Array> {
  let done = start;
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        const taken = done + piece.length > end ? piece.subarray(0, end - done) : piece;
        done += taken.length;
        progress?.(done);
        if (taken.length > 0) controller.enqueue(taken);
        if (done >= end) controller.terminate();
      },
    }),
  );
}
