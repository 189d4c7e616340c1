import { messageOf } from "../base/errors.ts";

/** How a program ended that was given so much time and no more. */
export type Ended = { kind: "done" } | { kind: "failed"; why: string } | { kind: "late" } | { kind: "cancelled" };

/** How long a killed program may take to go, in milliseconds: one that waits for a dead server inside of the kernel may stay; nobody waits for it. */
const GRACE = 2000;

/**
 * Runs a program that may hang inside of the kernel (a mount of a server that does not answer) for at most `patience` milliseconds, or until `signal`.
 * It never takes longer than that and a moment, whatever becomes of the program.
 */
export async function runBounded(command: string[], { patience, signal }: { patience: number; signal?: AbortSignal }): Promise<Ended> {
  if (signal?.aborted === true) return { kind: "cancelled" };
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe", env: { ...process.env, LC_ALL: "C" } });
  const stop = Promise.withResolvers<Ended>();
  const late = setTimeout(() => stop.resolve({ kind: "late" }), patience);
  const cancel = (): void => stop.resolve({ kind: "cancelled" });
  signal?.addEventListener("abort", cancel);
  try {
    const first = await Promise.race([outcome(child), stop.promise]);
    if (first.kind === "late" || first.kind === "cancelled") {
      child.kill("SIGKILL");
      await Promise.race([child.exited, Bun.sleep(GRACE)]);
    }
    return first;
  } finally {
    clearTimeout(late);
    signal?.removeEventListener("abort", cancel);
  }
}

async function outcome(child: Bun.Subprocess<"ignore", "ignore", "pipe">): Promise<Ended> {
  try {
    const [text, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    return code === 0 ? { kind: "done" } : { kind: "failed", why: text.trim() || `exit code ${code}` };
  } catch (error) {
    return { kind: "failed", why: messageOf(error) };
  }
}
