/** What a finished command left: its exit code (128 + n after signal n) and what it wrote. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

export interface ShellOptions {
  cwd?: string;
  env?: Record<string, string>;
  stdin?: string | Uint8Array | Blob;
  /** Milliseconds after which it is killed; its code is then 137. */
  timeout?: number;
}

const MINUTES_10 = 600_000;

/** Runs a command to its end, whatever its exit code. */
export async function run(command: readonly string[], options: ShellOptions = {}): Promise<Outcome> {
  const stdin = typeof options.stdin === "string" ? new TextEncoder().encode(options.stdin) : options.stdin;
  const child = Bun.spawn([...command], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
    stdin: stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeout ?? MINUTES_10,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

/** Runs a command that has to succeed and returns its standard output; throws with the end of its standard error otherwise. */
export async function must(command: readonly string[], options: ShellOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, options);
  if (code !== 0) throw new Error(`${command.join(" ")}: exit code ${code}: ${(stderr || stdout).slice(-2000)}`);
  return stdout;
}
