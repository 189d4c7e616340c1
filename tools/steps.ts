import { chmod } from "node:fs/promises";
import { basename, join } from "node:path";

/** The clone. */
export const root = join(import.meta.dir, "..");
const MINUTE = 60;
/** How much slower than usual this machine is; deadlines stretch by it. */
export const SLOW = Number(process.env["LIGHTER_TEST_SLOW"] ?? 1);
/** What `--vm` runs inside, emulated, beside `machine.vm.ts`: what depends on the kernel most. */
const VM_STEPS = ["confinement", "codes"];

/** One thing that is run and counted. */
export interface Step {
  name: string;
  /** `bun test` of these files, or else a command that counts as one test. */
  files?: string[];
  command?: string[];
  /** Seconds. */
  deadline: number;
  /** Namespaces of its own; what installs packages needs the machine's network. */
  isolated: boolean;
}

/** What the command line asks for. */
export interface Options {
  full: boolean;
  vm: boolean;
  /** A test that fails is not asked again. */
  once: boolean;
  seed: number;
  pattern: string | undefined;
}

/** The steps in the order they run. A suite names its deadline in its first lines: `Deadline: 240 s`. */
export async function allSteps({ full, vm }: Options): Promise<Step[]> {
  const suites = (ending: string): string[] => [...new Bun.Glob(`*.${ending}.ts`).scanSync(join(root, "tests"))].sort();
  const suite = async (file: string, isolate: boolean): Promise<Step> => {
    const seconds = /Deadline: (\d+) s/.exec(await Bun.file(join(root, "tests", file)).text())?.[1];
    return {
      name: basename(file).split(".")[0] ?? file,
      files: [`./tests/${file}`],
      deadline: Number(seconds ?? 3 * MINUTE) * (full ? 10 : 1) * SLOW,
      isolated: isolate,
    };
  };
  const steps: Step[] = [
    { name: "check", command: [process.execPath, "tools/check.ts"], deadline: 3 * MINUTE * SLOW, isolated: false },
    { name: "unit", files: ["./src", "./shipped", "./tools"], deadline: 8 * MINUTE * (full ? 10 : 1) * SLOW, isolated: true },
  ];
  for (const file of suites("suite")) steps.push(await suite(file, true));
  if (full) for (const file of suites("full")) steps.push(await suite(file, false));
  if (vm) {
    for (const file of suites("vm")) steps.push(await suite(file, false));
    const inside = `LIGHTER_TEST_SLOW=20 ${await bunForVm()} tools/test.ts ${VM_STEPS.join(" ")}`;
    for (const release of ["bookworm", "trixie"]) {
      const command = [process.execPath, "tools/vm.ts", "--suite", release, inside];
      steps.push({ name: `vm-${release}`, command, deadline: 90 * MINUTE, isolated: false });
    }
  }
  return steps;
}

/** Puts this bun where the copy of the clone in a machine without network finds it; the path inside the clone. */
async function bunForVm(): Promise<string> {
  const path = join(".cache/bun", Bun.version, "bun");
  if (!(await Bun.file(join(root, path)).exists())) await Bun.write(join(root, path), Bun.file(process.execPath));
  await chmod(join(root, path), 0o755);
  return path;
}
