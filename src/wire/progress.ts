/** One JSON message of a pull, push, load or build stream, as Docker's clients read it. */
export interface ProgressMessage {
  id?: string;
  status?: string;
  stream?: string;
  progressDetail?: { current?: number; total?: number; units?: string; hidecounts?: boolean; start?: number };
  /** The drawn bar; old clients show it as it is. */
  progress?: string;
  error?: string;
  errorDetail?: { code?: number; message: string };
  aux?: unknown;
}

/** Takes progress messages in order; must not block and must not throw. */
export type ProgressSink = (message: ProgressMessage) => void;
