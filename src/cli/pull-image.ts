import { isTerminal } from "./is-terminal.ts";
import { formatReference, type Reference } from "../base/reference.ts";
import { pullImage } from "../client/images.ts";
import type { App } from "./app.ts";
import { registryAuth } from "./credentials.ts";
import { print } from "./output.ts";
import { showProgress, type ProgressOutput } from "./progress.ts";

/** How progress is drawn on a descriptor: in place on a terminal, in lines elsewhere. */
export function progressOn(fd: 1 | 2): ProgressOutput {
  const terminal = isTerminal(fd);
  return { terminal, columns: terminal ? (terminalColumns(fd) ?? 200) : 200, write: (text) => print(fd, text) };
}

function terminalColumns(fd: 1 | 2): number | undefined {
  return fd === 1 ? process.stdout.columns : process.stderr.columns;
}

/** Pulls one reference (all tags where it has neither tag nor digest), and shows how. */
export async function pullReference(
  app: App,
  reference: Reference,
  options: { platform: string; output: ProgressOutput | undefined; verify?: readonly string[] },
): Promise<void> {
  const auth = await registryAuth(app, reference.registry);
  const { registry, repository, tag, digest } = reference;
  const image = { name: formatReference({ registry, repository }), tag: digest ?? tag ?? "" };
  const answer = await pullImage(await app.connection(), image, {
    platform: options.platform,
    ...(auth !== undefined && { auth }),
    ...(options.verify !== undefined && { verify: options.verify }),
  });
  if (!answer.body) return;
  await showProgress(answer.body, options.output ?? { write: () => {}, terminal: false, columns: 200 });
}
