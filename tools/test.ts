/**
 * `./test [--full] [--vm] [--once] [--list] [name...]`: the gate, the unit tests and every suite under `tests/`, each in namespaces of its own
 * with a deadline. A name picks the steps whose name holds it, or else the tests whose name does. The last line is `N passed, N failed`. What failed
 * is asked once more and named as unsteady where it passes then, but for `--once` and `--full`.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cacheFolder } from "./cache.ts";
import { commitOf } from "./commit.ts";
import { criuFolder } from "./criu.ts";
import { firewalls } from "./firewalls.ts";
import type { Counts } from "./junit.ts";
import { writeProof } from "./proof.ts";
import { testImage } from "./test-images.ts";
import { buildRust, nodePackages, pythonPackages } from "./foreign.ts";
import { openSsh } from "./openssh.ts";
import {
  cliPlugins,
  cosign,
  dockerClient,
  dockerDaemon,
  dockerRegistry,
  mandoc,
  registryClients,
  rsyslogd,
  shells,
  staticBusybox,
} from "./programs.ts";
import { runStep } from "./run-step.ts";
import { secondLook, type SecondLook } from "./second-look.ts";
import { allSteps, root, type Options, type Step } from "./steps.ts";

/** What the steps need and cannot fetch from inside their namespaces. */
async function prepare(steps: Step[], full: boolean): Promise<void> {
  if (!steps.some((step) => step.files !== undefined)) return;
  await staticBusybox();
  await dockerRegistry();
  if (!steps.some((step) => step.files?.some((file) => file.startsWith("./tests/")))) return;
  for (const suite of ["bookworm", "trixie"] as const) await dockerClient(suite);
  for (const name of ["busybox", "layered", "debian"] as const) await testImage(name);
  const has = (name: string): boolean => steps.some((step) => step.name === name);
  if (has("completion")) {
    await shells();
    await mandoc();
  }
  if (has("networks")) await testImage("dnsmasq");
  if (has("checkpoint")) await criuFolder();
  if (has("logs")) {
    await dockerDaemon();
    await rsyslogd();
  }
  if (has("registry")) {
    await registryClients();
    await dockerDaemon();
  }
  if (has("pull-dockerd") && full) {
    await dockerDaemon();
    await testImage("postgres");
  }
  if (has("compose-dockerd") && full) await dockerDaemon();
  if (has("store")) await dockerDaemon();
  if (has("ssh")) await openSsh();
  if (has("firewalls")) await firewalls();
  if (has("plugins") || has("compose") || has("compose-dockerd")) await cliPlugins();
  if (has("signatures")) await cosign();
  if (has("docker-py")) await pythonPackages();
  if (has("bollard")) await buildRust();
  if (has("dockerode") || has("testcontainers") || has("registry-storage")) await nodePackages();
  if (has("testcontainers")) for (const name of ["postgres", "ryuk"] as const) await testImage(name);
}

async function main(): Promise<number> {
  const flags = { full: { type: "boolean" }, vm: { type: "boolean" }, once: { type: "boolean" }, list: { type: "boolean" } } as const;
  const { values, positionals } = parseArgs({ allowPositionals: true, options: flags });
  const seed = Number(process.env["LIGHTER_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  const { full = false, vm = false, once = full } = values;
  const options: Options = { full, vm, once, seed, pattern: undefined };
  let steps = await allSteps(options);
  const named = steps.filter(({ name }) => positionals.some((word) => name.includes(word)));
  if (named.length > 0) steps = named;
  else if (positionals.length > 0) {
    options.pattern = positionals.join("|");
    steps = steps.filter(({ command }) => command === undefined);
  }
  if (values.list === true) {
    console.log(steps.map(({ name }) => name).join("\n"));
    return 0;
  }
  const commit = await commitOf(root);
  if (options.full) console.log(`seed ${seed} (again with LIGHTER_TEST_SEED=${seed})`);
  await prepare(steps, options.full);

  // `--full` goes on where an interrupted run of the same commit and names stopped.
  const progress = join(await cacheFolder("full"), `${commit}${options.pattern ?? ""}.json`);
  const done = options.full
    ? ((await Bun.file(progress)
        .json()
        .catch(() => ({}))) as Record<string, number>)
    : {};
  const figures = join(await cacheFolder("full"), `${commit}.figures`);
  const total: Counts = { passed: 0, failed: [], skipped: [], files: [] };
  const look: SecondLook = { asked: 0, unsteady: [] };
  for (const step of steps) {
    const before = done[step.name];
    if (before !== undefined) {
      console.log(`pass  ${step.name}: ${before} passed in an earlier run of this commit`);
      total.passed += before;
      continue;
    }
    const first = await runStep(step, options, figures);
    const { counts, output, seconds } = await secondLook(first, step, options, look, figures);
    const good = counts.failed.length === 0;
    if (good && counts.passed + counts.skipped.length === 0) continue;
    if (first.counts.failed.length > 0) console.log((good ? first.output : output).trimEnd());
    console.log(
      `${good ? "pass" : "FAIL"}  ${step.name}: ${counts.passed} passed, ${counts.failed.length} failed, ${seconds.toFixed(1)} s`,
    );
    for (const name of counts.failed) console.log(`      failed: ${name}`);
    total.passed += counts.passed;
    total.failed.push(...counts.failed.map((name) => `${step.name}: ${name}`));
    total.skipped.push(...counts.skipped.map((name) => `${step.name}: ${name}`));
    if (options.full && good) await Bun.write(progress, JSON.stringify(Object.assign(done, { [step.name]: counts.passed })));
  }
  if (options.full)
    await writeProof(
      join(root, "docs/proof"),
      figures,
      { commit, seed, command: ["./test", ...process.argv.slice(2)].join(" ") },
      { keep: positionals.length > 0 },
    );
  else if (options.vm) await writeProof(join(root, "docs/proof"), figures, { commit, seed, command: "./test --vm" }, { only: ["vm"] });
  if (options.full && total.failed.length === 0) await rm(progress, { force: true });
  for (const name of total.failed) console.log(`failed: ${name}`);
  for (const name of look.unsteady)
    console.log(`unsteady: ${name} (failed, and passed when it was asked again: there is a defect to find)`);
  for (const name of total.skipped) console.log(`skipped: ${name}`);
  const skipped = total.skipped.length > 0 ? `, ${total.skipped.length} skipped` : "";
  console.log(`${total.passed} passed, ${total.failed.length} failed${skipped}`);
  return total.failed.length === 0 && total.passed > 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
