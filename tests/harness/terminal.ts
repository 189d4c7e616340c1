import { tmpdir } from "node:os";
import { must } from "../../tools/shell.ts";
import { until } from "./until.ts";

let count = 0;

/** A real terminal (tmux) with a command in it: keys go in, the screen is looked at. */
export class Terminal {
  readonly #server: string;

  private constructor(server: string) {
    this.#server = server;
  }

  /** Runs a shell's command line in a terminal of its own; the line `[exit N]` follows when it ends. */
  static async open(line: string, { columns = 80, rows = 24 }: { columns?: number; rows?: number } = {}): Promise<Terminal> {
    const terminal = new Terminal(`lighter-test-${process.pid}-${count++}`);
    const size = ["-x", String(columns), "-y", String(rows)];
    await terminal.#tmux("-f", "/dev/null", "new-session", "-d", ...size, "sh", "-c", `${line}; echo "[exit $?]"; exec sleep 600`);
    return terminal;
  }

  async #tmux(...args: string[]): Promise<string> {
    return await must(["tmux", "-L", this.#server, ...args], { env: { TMUX: "", TMUX_TMPDIR: tmpdir() }, timeout: 30_000 });
  }

  /** Types text as it is; `\r` is the Enter key. */
  async type(text: string): Promise<void> {
    const hex = [...Buffer.from(text)].map((byte) => byte.toString(16));
    await this.#tmux("send-keys", "-H", ...hex);
  }

  /** Types a line and Enter. */
  async enter(text: string): Promise<void> {
    await this.type(`${text}\r`);
  }

  /** What the screen shows, lines without trailing blanks, and what scrolled out of it. */
  async screen(): Promise<string> {
    return await this.#tmux("capture-pane", "-p", "-S", "-1000");
  }

  /** Waits until the screen matches; the error shows the screen. */
  async shows(pattern: RegExp, timeout = 20_000): Promise<string> {
    let screen = "";
    try {
      await until(`the screen shows ${String(pattern)}`, async () => pattern.test((screen = await this.screen())), { timeout, every: 50 });
    } catch (cause) {
      throw new Error(`${(cause as Error).message}. It shows:\n${screen.trimEnd()}`, { cause });
    }
    return screen;
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#tmux("set-option", "-g", "window-size", "manual");
    await this.#tmux("resize-window", "-x", String(columns), "-y", String(rows));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tmux("kill-server").catch(() => "");
  }
}
