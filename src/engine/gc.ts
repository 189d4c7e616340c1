import { now, toRfc3339Nano } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { CAREFUL, parseGcPolicy, type AutomaticGc } from "../images/gc-policy.ts";
import type { Images } from "../images/images.ts";
import type { Reader } from "../state/state.ts";
import type { GcReport } from "../wire/gc-report.ts";

/** Without a policy of the user's, nothing goes by itself. */
export const NO_GC: AutomaticGc = { policy: CAREFUL, every: undefined };

/** The collection of unused images: when asked, and by itself where the configuration says so. */
export interface Gc extends Disposable {
  /** Collects by the configured policy with `changes` on top (keys as in daemon.json), or says what would go. */
  run(options: { dryRun: boolean; changes?: Record<string, unknown> }): Promise<GcReport>;
  /** Whether it runs by itself, and what the last such run did. */
  status(): GcStatus;
}

/** As `GET /lighter/gc` shows it. */
export interface GcStatus {
  automatic: boolean;
  everySeconds?: number;
  last?: { time: string; removed: number; freed: number; error?: string };
}

/** What it stands on; `config` may change while it runs. */
export interface GcParts {
  config: { readonly gc: AutomaticGc };
  images: Images;
  state: Reader;
}

/** Between two looks at whether a run is due, and at whether transfers have ended, in milliseconds. */
const LOOK = 15_000;
/** A run waits so long for transfers to end. */
const PATIENCE = 600_000;

/** Starts the collection; it does its work in pieces between others, and not while images are moved. */
export function startGc({ config, images, state }: GcParts): Gc {
  let last: GcStatus["last"];
  let turn: Promise<unknown> = Promise.resolve();
  let due: number | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let closed = false;

  function run({ dryRun, changes = {} }: { dryRun: boolean; changes?: Record<string, unknown> }): Promise<GcReport> {
    const policy = parseGcPolicy(changes, config.gc.policy);
    const mine = turn.then(() => images.gc(policy, { dryRun }));
    turn = mine.catch(() => undefined);
    return mine;
  }

  async function runByItself(): Promise<void> {
    const time = toRfc3339Nano(now());
    try {
      const { items, freed } = await run({ dryRun: false });
      last = { time, removed: items.length, freed };
      if (items.length > 0) logOf("gc").info("{count} unused images went, {freed} bytes are free", { count: items.length, freed });
    } catch (error) {
      last = { time, removed: 0, freed: 0, error: messageOf(error) };
      if (!closed) logOf("gc").warn("the collection of unused images failed: {why}", { why: messageOf(error) });
    }
  }

  async function look(): Promise<void> {
    const every = config.gc.every === undefined ? undefined : config.gc.every / 1e6;
    const time = performance.now();
    if (every === undefined) due = undefined;
    else if (due === undefined || due > time + every) due = time + every;
    else if (time >= due && (time - due > Math.min(PATIENCE, every) || !isBusy(state))) {
      due = time + every;
      await runByItself();
    }
    schedule(Math.min(LOOK, every ?? LOOK));
  }

  function schedule(wait: number): void {
    if (closed) return;
    const failed = (error: unknown): void => logOf("gc").warn("cannot look after the disk: {why}", { why: messageOf(error) });
    timer = setTimeout(() => void look().catch(failed), wait);
    timer.unref();
  }

  schedule(Math.min(LOOK, (config.gc.every ?? LOOK * 1e6) / 1e6));
  return {
    run,
    status: () => ({
      automatic: config.gc.every !== undefined,
      ...(config.gc.every === undefined ? {} : { everySeconds: config.gc.every / 1e9 }),
      ...(last === undefined ? {} : { last }),
    }),
    [Symbol.dispose]() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** Whether images are pulled, pushed, built or loaded right now. */
function isBusy(state: Reader): boolean {
  return state.get("SELECT 1 FROM leases LIMIT 1") !== undefined;
}
