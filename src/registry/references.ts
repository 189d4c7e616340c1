/** Tags, digests and names of repositories, as the specification's grammar has them. */

const COMPONENT = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";

/** A repository's name. https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests */
export const NAME = `${COMPONENT}(?:/${COMPONENT})*`;

/** Longer names fit in no client, as they count the registry's own name in. */
export const MAX_NAME = 255;

const WHOLE_NAME = new RegExp(`^${NAME}$`);
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

/** Algorithms that content may be named by, with the length of their hex. https://github.com/opencontainers/image-spec/blob/main/descriptor.md#registered-algorithms */
const ALGORITHMS: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

export type Algorithm = "sha256" | "sha512";

export function isName(text: string): boolean {
  return text.length <= MAX_NAME && WHOLE_NAME.test(text);
}

export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** The algorithm of a digest; undefined for what is no digest that is understood here. */
export function algorithmOf(text: string): Algorithm | undefined {
  const [, algorithm = "", hex = ""] = /^([a-z0-9]+):([0-9a-f]+)$/.exec(text) ?? [];
  return ALGORITHMS[algorithm] === hex.length ? (algorithm as Algorithm) : undefined;
}
