import { LighterError, messageOf } from "../base/errors.ts";
import type { Reference } from "../base/reference.ts";
import type { Platform } from "../oci/image.ts";
import { command } from "./command.ts";
import { string, strings } from "./flags.ts";
import { platformIn } from "./manifest-registry.ts";
import { manifestReference, ManifestStore } from "./manifest-store.ts";

/** What docker's client takes as a platform of a list, by operating system. */
const KNOWN: Readonly<Record<string, string>> = {
  darwin: "386 amd64 arm arm64",
  dragonfly: "amd64",
  freebsd: "386 amd64 arm",
  linux: "386 amd64 arm arm64 ppc64le mips64 mips64le riscv64 s390x",
  netbsd: "386 amd64 arm",
  openbsd: "386 amd64 arm",
  plan9: "386 amd64",
  solaris: "amd64",
  windows: "386 amd64",
};

/** `manifest annotate`: says which platform an image of a list is for. */
export const manifestAnnotate = command({
  usage: "[OPTIONS] MANIFEST_LIST MANIFEST",
  args: 2,
  flags: {
    arch: string("Architecture"),
    os: string("Operating system"),
    "os-features": strings("Features of the operating system"),
    "os-version": string("Version of the operating system"),
    variant: string("Variant of the architecture"),
  },
  async run({ flags, args, app }) {
    const [name = "", image = ""] = args;
    const list = named(name, "manifest list");
    const reference = named(image, "manifest");
    const store = new ManifestStore(app.folder);
    const entry = await store.get(list, reference);
    if (entry === undefined) throw new LighterError("not-found", `manifest for image ${image} does not exist in ${name}`);
    const before: Partial<Platform> = entry.Descriptor.platform ?? {};
    const features = [...new Set([...(before["os.features"] ?? []), ...flags["os-features"]])];
    const platform = platformIn({
      ...before,
      ...(flags.os && { os: flags.os }),
      ...(flags.arch && { architecture: flags.arch }),
      ...(flags["os-version"] && { "os.version": flags["os-version"] }),
      "os.features": features,
      ...(flags.variant && { variant: flags.variant }),
    });
    if (KNOWN[platform.os]?.split(" ").includes(platform.architecture) !== true)
      throw new LighterError("invalid", `manifest entry for image has unsupported os/arch combination: ${flags.os}/${flags.arch}`);
    await store.save(list, reference, { ...entry, Descriptor: { ...entry.Descriptor, platform } });
  },
});

function named(text: string, what: string): Reference {
  try {
    return manifestReference(text);
  } catch (cause) {
    throw new LighterError("invalid", `annotate: error parsing name for ${what} ${text}: ${messageOf(cause)}`, { cause });
  }
}
