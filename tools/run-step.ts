import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cacheFolder } from "./cache.ts";
import { isolated, removeCgroups } from "./isolate.ts";
import { countsOf, type Counts } from "./junit.ts";
import { dockerRegistry, staticBusybox } from "./programs.ts";
import { root, SLOW, type Options, type Step } from "./steps.ts";

/** What came of one step. */
export interface Outcome {
  counts: Counts;
  output: string;
  seconds: number;
}

/** Counts of a command: what its own last line says, when it is a run of tests, else one test. */
function countsOfCommand(name: string, code: number, output: string): Counts {
  const [, passed, failed] = /^(\d+) passed, (\d+) failed/m.exec(output.slice(-2000)) ?? [];
  if (passed === undefined) return { passed: code === 0 ? 1 : 0, failed: code === 0 ? [] : [name], skipped: [], files: [] };
  return {
    passed: Number(passed),
    failed: Array.from({ length: Number(failed) }, (_, n) => `${name}, test ${n + 1}`),
    skipped: [],
    files: [],
  };
}

/** Runs one step to its end or its deadline and counts it. */
export async function runStep(step: Step, options: Options, figures: string): Promise<Outcome> {
  const work = await mkdtemp(join(tmpdir(), "lt-"));
  // Users of containers pass through it.
  await chmod(work, 0o711);
  const report = join(work, "report.xml");
  const scopes = join(work, "scopes");
  const tests = ["--timeout", String(60_000 * SLOW), "--reporter=junit", `--reporter-outfile=${report}`];
  const pattern = options.pattern === undefined ? [] : ["-t", options.pattern];
  const command = step.command ?? [process.execPath, "test", ...(step.files ?? []), ...tests, ...pattern];
  const log = Bun.file(join(work, "output"));
  const begin = performance.now();
  const child = Bun.spawn(["sh", "-c", 'exec "$@" > "$0" 2>&1', log.name ?? "", ...(step.isolated ? isolated(command) : command)], {
    cwd: root,
    env: {
      ...process.env,
      PATH: await searchPath(),
      TMPDIR: work,
      LIGHTER_TEST_ISOLATED: step.isolated ? "1" : "0",
      LIGHTER_TEST_CACHE: await cacheFolder(),
      LIGHTER_TEST_FULL: options.full ? "1" : "0",
      LIGHTER_TEST_SEED: String(options.seed),
      LIGHTER_TEST_SCOPES: scopes,
      LIGHTER_TEST_FIGURES: figures,
    },
    stdin: "ignore",
    timeout: step.deadline * 1000,
    killSignal: "SIGKILL",
  });
  const code = await child.exited;
  const seconds = (performance.now() - begin) / 1000;
  const output = await log.text();
  const xml = await Bun.file(report)
    .text()
    .catch(() => "");
  const counts: Counts = step.command === undefined ? countsOf(xml) : countsOfCommand(step.name, code, output);
  const nothingMatches = options.pattern !== undefined && /matched 0 tests|did not match any tests/.test(output);
  // What the pattern does not mean was not asked for: that is no skip.
  if (nothingMatches) counts.skipped = [];
  if (child.signalCode !== null) counts.failed.push(`${step.name} ended within its ${step.deadline} s`);
  else if (code !== 0 && counts.failed.length === 0 && !nothingMatches) counts.failed.push(`${step.name} ended well (exit code ${code})`);
  const lines = (
    await Bun.file(scopes)
      .text()
      .catch(() => "")
  )
    .split("\n")
    .filter((line) => line !== "");
  await removeCgroups(new Set(lines));
  await rm(work, { recursive: true, force: true });
  return { counts, output, seconds };
}

/** PATH with what unit tests look for and no distribution has installed: a static busybox, Debian's registry, and this bun under its name. */
async function searchPath(): Promise<string> {
  return [dirname(await staticBusybox()), dirname(await dockerRegistry()), process.env["PATH"], dirname(process.execPath)].join(":");
}
