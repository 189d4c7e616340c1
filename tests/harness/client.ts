import { run, type Outcome, type ShellOptions } from "../../tools/shell.ts";
import { SLOW } from "./until.ts";

/** A command-line client that talks to the daemon under test: ours, or Debian's unmodified docker. */
export class Client {
  /** `lighter`, `docker 20.10`, `docker 26.1`. */
  readonly name: string;
  readonly program: string;
  readonly env: Record<string, string>;

  constructor(name: string, program: string, env: Record<string, string>) {
    this.name = name;
    this.program = program;
    this.env = env;
  }

  get ours(): boolean {
    return this.name === "lighter";
  }

  /** Runs a command to its end, at most a minute unless told otherwise. */
  async run(args: readonly string[], options: ShellOptions = {}): Promise<Outcome> {
    return await run([this.program, ...args], { timeout: 60_000 * SLOW, ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs a command that has to succeed; its standard output without the last newline. */
  async must(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`${this.name} ${args.join(" ")}: exit code ${code}: ${stderr}${stdout}`);
    return stdout.replace(/\n$/, "");
  }

  /** Starts a command with pipes on all three streams. */
  spawn(args: readonly string[]): Bun.Subprocess<"pipe", "pipe", "pipe"> {
    return Bun.spawn([this.program, ...args], { env: { ...process.env, ...this.env }, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  }

  /** The command as a line for a shell, its environment in front. */
  line(...args: string[]): string {
    const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
    const env = Object.entries(this.env).map(([name, value]) => `${name}=${quote(value)}`);
    return ["env", ...env, ...[this.program, ...args].map(quote)].join(" ");
  }
}
