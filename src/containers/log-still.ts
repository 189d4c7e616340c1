import type { OpenLog } from "./log-source.ts";

/** An open log file as it was at one moment: what is written behind that stays unread, so that a reader of a busy log comes to an end. */
export class StillLog implements OpenLog {
  readonly #file: OpenLog;
  readonly #end: number;

  private constructor(file: OpenLog, end: number) {
    this.#file = file;
    this.#end = end;
  }

  /** The file with what is in it now. */
  static async of(file: OpenLog): Promise<StillLog> {
    return new StillLog(file, (await file.stat()).size);
  }

  async read(block: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    const left = Math.min(length, this.#end - position);
    return left > 0 ? await this.#file.read(block, offset, left, position) : { bytesRead: 0 };
  }

  async stat(): Promise<{ size: number; mtimeMs: number }> {
    const { size, mtimeMs } = await this.#file.stat();
    return { size: Math.min(size, this.#end), mtimeMs };
  }

  close(): void {
    this.#file.close();
  }
}
