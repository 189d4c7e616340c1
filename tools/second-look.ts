import { resolve } from "node:path";
import type { Counts } from "./junit.ts";
import { runStep, type Outcome } from "./run-step.ts";
import { root, type Options, type Step } from "./steps.ts";

/** So many steps of one run are asked again. More than that is no chance. */
const MOST = 3;

/** Tests that failed and then passed: each is a defect of the product or of the test that has not been found yet. */
export interface SecondLook {
  asked: number;
  unsteady: string[];
}

/**
 * Runs the files of a step's failed tests once more, where that is allowed, and gives the outcome that counts: with no failure only where all of them
 * pass now. The tests that gave two answers are kept by name in `look` (docs/decisions/0044).
 */
export async function secondLook(first: Outcome, step: Step, options: Options, look: SecondLook, figures: string): Promise<Outcome> {
  if (options.once || first.counts.failed.length === 0 || step.files === undefined || look.asked >= MOST) return first;
  look.asked++;
  const whole = first.counts.files.length === 0;
  const again = await runStep(whole ? step : { ...step, files: first.counts.files.map((file) => resolve(root, file)) }, options, figures);
  const seconds = first.seconds + again.seconds;
  if (!passes(again.counts)) return { ...first, output: `${first.output}\nAsked again:\n${again.output}`, seconds };
  look.unsteady.push(...first.counts.failed.map((name) => `${step.name}: ${name}`));
  if (whole) return { ...again, seconds };
  return { ...first, counts: { ...first.counts, passed: first.counts.passed + first.counts.failed.length, failed: [] }, seconds };
}

function passes(counts: Counts): boolean {
  return counts.failed.length === 0 && counts.passed > 0;
}
