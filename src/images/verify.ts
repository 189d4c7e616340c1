import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { familiarName, familiarReference, formatReference, type Reference } from "../base/reference.ts";
import type { Repository } from "../distribution/distribution.ts";
import type { Digest } from "../oci/image.ts";
import { fingerprint, isSignedBy, parsePublicKey, type VerificationKey } from "./public-key.ts";
import { policyFor, type VerifyRule } from "./signature-policy.ts";
import { findSignatures, type FoundSignatures, type Signature } from "./signatures.ts";
import type { Source } from "./sources.ts";

/** What a pull asks for beside what the daemon's policy wants; it can only ask for more. */
export interface VerifyRequest {
  /** Public keys in PEM; without any, those of the policy's rule. */
  keys: readonly string[];
}

/** Where the daemon's policy stands. */
export interface PolicyFile {
  path: string;
  /** It was named, so that it must be there. */
  required: boolean;
}

/**
 * Checks the signatures of what a name points at, before anything of it is stored. Returns lines for the user; empty where nothing looks at this image.
 * Throws `forbidden` for an image that must be signed and is not, by none of the keys, or for other content.
 */
export async function verifySource(
  policy: PolicyFile,
  reference: Reference,
  source: Source,
  request: VerifyRequest | undefined,
  signal?: AbortSignal,
): Promise<string[]> {
  const rules = await rulesFor(policy, reference, request);
  const lines: string[] = [];
  for (const rule of rules) lines.push(await applyRule(rule, reference, source, signal));
  return lines;
}

async function rulesFor(policy: PolicyFile, reference: Reference, request: VerifyRequest | undefined): Promise<VerifyRule[]> {
  const rule = await policyFor(policy.path, reference, policy);
  if (request === undefined) return rule === undefined ? [] : [rule];
  if (request.keys.length > 0) {
    const keys = request.keys.map((pem, index) => parsePublicKey(pem, `key ${index + 1} of the pull`));
    const asked: VerifyRule = { mode: "required", keys, identity: false, source: "the pull" };
    return rule === undefined ? [asked] : [rule, asked];
  }
  if (rule !== undefined && rule.keys.length > 0) return [{ ...rule, mode: "required" }];
  throw new LighterError(
    "invalid",
    `Cannot verify ${familiarReference(reference)}: no key is known for it; give one with the pull, or a rule in ${policy.path}`,
  );
}

async function applyRule(rule: VerifyRule, reference: Reference, source: Source, signal: AbortSignal | undefined): Promise<string> {
  try {
    const key = await signerOf(rule, reference, source, signal);
    return `Verified: ${source.target.digest} is signed with ${key.name} (${fingerprint(key)})`;
  } catch (error) {
    if (rule.mode !== "warn" || kindOf(error) === "cancelled" || signal?.aborted === true) throw error;
    const problem = messageOf(error);
    logOf("images").warn("{problem}", { problem });
    if (kindOf(error) === "forbidden") return `WARNING: ${problem.replace(/^Cannot pull /, "")}`;
    return `WARNING: ${familiarReference(reference)}: its signatures cannot be read (${problem}), and ${rule.source} wants it signed`;
  }
}

/** The key that signed an image; addresses are asked in order, since a mirror need not have the signatures. */
async function signerOf(rule: VerifyRule, reference: Reference, source: Source, signal: AbortSignal | undefined): Promise<VerificationKey> {
  const { digest } = source.target;
  const problems: string[] = [];
  let failure: unknown;
  for (const repository of source.repositories) {
    const found = await tryFind(repository, digest, signal);
    if ("failure" in found) {
      failure = found.failure;
      continue;
    }
    const key = firstSigner(rule, reference, digest, found, problems);
    if (key !== undefined) return key;
  }
  if (problems.length === 0 && failure !== undefined) throw failure;
  const why = problems.length === 0 ? `no signature of ${digest} was found` : problems.join("; ");
  throw new LighterError("forbidden", `Cannot pull ${familiarReference(reference)}: ${why}, and ${rule.source} wants it signed`);
}

async function tryFind(
  repository: Repository,
  digest: Digest,
  signal: AbortSignal | undefined,
): Promise<FoundSignatures | { failure: unknown }> {
  try {
    return await findSignatures(repository, digest, signal);
  } catch (failure) {
    if (kindOf(failure) === "cancelled") throw failure;
    return { failure };
  }
}

function firstSigner(
  rule: VerifyRule,
  reference: Reference,
  digest: Digest,
  found: FoundSignatures,
  problems: string[],
): VerificationKey | undefined {
  problems.push(...found.problems);
  for (const signature of found.signatures) {
    const key = rule.keys.find((each) => signature.signatures.some((bytes) => isSignedBy(each, signature.signed, bytes)));
    const problem = key === undefined ? stranger(digest, signature) : contradiction(rule, reference, digest, signature);
    if (problem === undefined) return key;
    if (!problems.includes(problem)) problems.push(problem);
  }
  return undefined;
}

function stranger(digest: Digest, { certified }: Signature): string {
  if (certified) return `a signature of ${digest} is by a certificate (keyless), and only known keys count here`;
  return `a signature of ${digest} is by none of the known keys`;
}

/** Why a genuine signature does not count for this image. */
function contradiction(rule: VerifyRule, reference: Reference, digest: Digest, { subjects }: Signature): string | undefined {
  const mine = subjects.filter((subject) => subject.digest === digest);
  if (mine.length === 0) return `a signature at ${digest} is for other content (${subjects.map((each) => each.digest).join(", ")})`;
  if (!rule.identity) return undefined;
  const { registry, repository } = reference;
  const own = formatReference({ registry, repository });
  const accepted: ReadonlySet<string | undefined> = new Set([own, familiarName(reference), `index.${own}`]);
  if (mine.some(({ name }) => accepted.has(name?.replace(/@.*$/, "").replace(/:[^/:]*$/, "")))) return undefined;
  const names = mine.map(({ name }) => (name === undefined ? "no name" : `"${name}"`));
  return `a signature of ${digest} is for ${names.join(", ")}, not for "${own}"`;
}
