import type { Digest } from "../oci/image.ts";
import { type Job, startJob } from "./pool.ts";
import { spaced } from "./spaced.ts";
import type { WriteOrder } from "./write-apart.ts";

/** The end of an open file, written and hashed by another thread, in order; one caller at a time. */
export class ApartWriter {
  readonly #job: Job<null>;
  readonly #act: string;

  /** @param size bytes that stand in the file already, which are hashed first; it stays open until `end` or `abort` has resolved. `act` is what errors begin with. */
  constructor(fd: number, size: number, act: string) {
    this.#act = act;
    this.#job = startJob("writeApart", { fd, size }, { apart: "bytes" });
    this.#job.result.catch(() => {});
  }

  /** Appends bytes, whose buffer is gone afterwards; resolves once the next ones are welcome. */
  async write(data: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#told(this.#job.port.send({ data } satisfies WriteOrder, [data.buffer]));
  }

  /** Takes in what has been put into the file from its end up to `until`. */
  async take(until: number): Promise<void> {
    await this.#told(this.#job.port.send({ until } satisfies WriteOrder));
  }

  /** The digest of all that was written so far, once it is in the file. */
  async digest(): Promise<Digest> {
    await this.#told(this.#job.port.send("digest" satisfies WriteOrder));
    return `sha256:${(await this.#told(this.#job.port.receive())) as string}`;
  }

  /** Resolves once everything is in the file and the thread has let go of it. */
  async end(): Promise<void> {
    this.#job.port.end();
    await this.#job.result;
  }

  /** The same, whatever became of the bytes. */
  async abort(): Promise<void> {
    this.#job.port.abort();
    await this.#job.result.catch(() => {});
  }

  /** What went wrong with the job, where all that the line says is that it has ended. */
  async #told<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw spaced(
        await this.#job.result.then(
          () => error,
          (reason: unknown) => reason,
        ),
        this.#act,
      );
    }
  }
}
