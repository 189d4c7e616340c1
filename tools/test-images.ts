/**
 * `bun tools/test-images.ts [name...]`: makes the images that tests and benchmarks use from Debian's packages and prints where they are.
 * They are cached; a change of {@link RECIPES} makes them anew.
 */
import { chmod, copyFile, mkdir, mkdtemp, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { RunConfig } from "../src/oci/image.ts";
import { cacheFolder } from "./cache.ts";
import { sourceLine, unpackedPackages } from "./debian.ts";
import { writeLayout } from "./oci-layout.ts";
import { staticBusybox } from "./programs.ts";
import { must } from "./shell.ts";

const RECIPES = "1";
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const TIME = "@1767225600";

export type TestImageName = "busybox" | "debian" | "layered" | "postgres" | "ryuk" | "dnsmasq";

/** An image on disk: an OCI layout (a folder) and the same as `docker save` writes it (a tar archive); both name it `<name>:latest`. */
export interface TestImage {
  name: TestImageName;
  layout: string;
  archive: string;
}

/** As the well-known image of this name is used: settings in the environment, data in a volume, ready when it has said so twice. */
const POSTGRES: RunConfig = {
  Entrypoint: ["/usr/local/bin/postgres-entrypoint"],
  Cmd: ["postgres"],
  Env: [`${PATH}:/usr/lib/postgresql/15/bin`, "PGDATA=/var/lib/postgresql/data"],
  ExposedPorts: { "5432/tcp": {} },
  Volumes: { "/var/lib/postgresql/data": {} },
  StopSignal: "SIGINT",
};
const RYUK: RunConfig = { Cmd: ["/usr/local/bin/ryuk"], Env: [PATH], ExposedPorts: { "8080/tcp": {} } };
/** Debian's dnsmasq with the libraries that a small root lacks, in one folder. */
const DNSMASQ: RunConfig = { Entrypoint: ["/opt/dnsmasq/dnsmasq"], Env: [PATH, "LD_LIBRARY_PATH=/opt/dnsmasq"] };
const DNSMASQ_PACKAGES = [
  "dnsmasq-base",
  "libdbus-1-3",
  "libgmp10",
  "libhogweed6",
  "libidn2-0",
  "libjansson4",
  "libmnl0",
  "libnetfilter-conntrack3",
  "libnettle8",
  "libnfnetlink0",
  "libnftables1",
  "libnftnl11",
  "libunistring2",
  "libxtables12",
];

type Layers = (work: string) => Promise<Uint8Array<ArrayBuffer>[]>;

const IMAGES: Record<TestImageName, { layers: Layers; config: RunConfig }> = {
  busybox: { layers: async (work) => [await busybox(work)], config: { Cmd: ["sh"], Env: [PATH] } },
  debian: { layers: async (work) => [await debian(work)], config: { Cmd: ["bash"], Env: [PATH] } },
  layered: { layers: layered, config: { Cmd: ["sh"], Env: [PATH, "LAYERED=yes"], WorkingDir: "/data", Volumes: { "/volume": {} } } },
  postgres: { layers: postgres, config: POSTGRES },
  dnsmasq: { layers: async (work) => [await kept("debian", () => debian(work)), await dnsmasq(work)], config: DNSMASQ },
  ryuk: { layers: async (work) => [await kept("debian", () => debian(work)), await programLayer(work, "ryuk")], config: RYUK },
};

/** The programs of `tests/images/` that stand in images: a change makes the image anew. */
const PROGRAMS: Partial<Record<TestImageName, string>> = { postgres: "postgres-entrypoint", ryuk: "ryuk" };

/** The image, made when the cache has none. */
export async function testImage(name: TestImageName): Promise<TestImage> {
  const program = PROGRAMS[name];
  const parts =
    program === undefined
      ? []
      : [
          `${name}-${Bun.hash(await programText(program))
            .toString(16)
            .slice(0, 8)}`,
        ];
  const folder = await cacheFolder("images", RECIPES, ...parts);
  const image = { name, layout: join(folder, name), archive: join(folder, `${name}.tar`) };
  if (await Bun.file(image.archive).exists()) return image;
  const work = await mkdtemp(join(await cacheFolder("images"), `make-${name}-`));
  try {
    const { layers, config } = IMAGES[name];
    await writeLayout(image.layout, { layers: await layers(work), config, tag: "latest" });
    const archive = join(work, "archive.tar");
    await must(["skopeo", "copy", "-q", `oci:${image.layout}:latest`, `docker-archive:${archive}:${name}:latest`]);
    await rename(archive, image.archive);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return image;
}

/** A file system that takes long to make, kept beside the images. */
async function kept(name: string, make: () => Promise<Uint8Array<ArrayBuffer>>): Promise<Uint8Array<ArrayBuffer>> {
  const path = join(await cacheFolder("images", RECIPES, "roots"), `${name}.tar`);
  if (await Bun.file(path).exists()) return await Bun.file(path).bytes();
  const bytes = await make();
  await Bun.write(`${path}.${process.pid}`, bytes);
  await rename(`${path}.${process.pid}`, path);
  return bytes;
}

async function programText(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return await Bun.file(join(import.meta.dir, "../tests/images", name)).bytes();
}

/** The tar archive of a folder's content: sorted, owned by root, with one fixed time. */
async function archiveOf(folder: string): Promise<Uint8Array<ArrayBuffer>> {
  const flags = [
    "--sort=name",
    "--numeric-owner",
    "--owner=0",
    "--group=0",
    `--mtime=${TIME}`,
    "--format=posix",
    "--pax-option=delete=atime,delete=ctime",
  ];
  const tar = Bun.spawn(["tar", "-C", folder, ...flags, "-cf", "-", "."], { stdout: "pipe" });
  const bytes = await tar.stdout.bytes();
  if ((await tar.exited) !== 0) throw new Error(`tar of ${folder}: exit code ${tar.exitCode}`);
  return bytes;
}

async function fill(folder: string, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(folder, path, ".."), { recursive: true });
    if (path.endsWith("/")) await mkdir(join(folder, path), { recursive: true });
    else await Bun.write(join(folder, path), text);
  }
}

/** One static program, a link for each of its applets, and the few files that make a root. */
async function busybox(work: string): Promise<Uint8Array<ArrayBuffer>> {
  const root = join(work, "busybox");
  await mkdir(join(root, "bin"), { recursive: true });
  const program = await staticBusybox();
  await copyFile(program, join(root, "bin/busybox"));
  await chmod(join(root, "bin/busybox"), 0o755);
  for (const applet of (await must([program, "--list"])).trim().split("\n")) {
    if (applet !== "busybox") await symlink("busybox", join(root, "bin", applet));
  }
  const users = {
    root: "0:0:root:/root:/bin/sh",
    daemon: "1:1:daemon:/usr/sbin:/bin/false",
    "www-data": "33:33:www-data:/var/www:/bin/false",
    nobody: "65534:65534:nobody:/home:/bin/false",
  };
  await fill(root, {
    "etc/passwd": Object.entries(users)
      .map(([name, rest]) => `${name}:x:${rest}\n`)
      .join(""),
    "etc/group": "root:x:0:\ndaemon:x:1:\nstaff:x:50:www-data\nwww-data:x:33:\nnogroup:x:65534:\n",
    "etc/hostname": "busybox\n",
    "root/": "",
    "home/": "",
    "usr/sbin/": "",
    "var/spool/mail/": "",
    "var/www/": "",
    "dev/": "",
    "proc/": "",
    "sys/": "",
    "tmp/": "",
  });
  await chmod(join(root, "tmp"), 0o1777);
  return await archiveOf(root);
}

/** Debian 12 as small as its own tools make it, without documentation. */
async function debian(work: string): Promise<Uint8Array<ArrayBuffer>> {
  const paths = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*"];
  const out = join(work, "debian.tar");
  await must(
    [
      "mmdebstrap",
      "--quiet",
      "--variant=minbase",
      ...paths.map((path) => `--dpkgopt=path-exclude=${path}`),
      "bookworm",
      out,
      await sourceLine("bookworm"),
    ],
    { env: { SOURCE_DATE_EPOCH: TIME.slice(1) } },
  );
  return await Bun.file(out).bytes();
}

/** Debian with PostgreSQL, without what compiles queries at run time (100 MB), and a program that starts it. */
async function postgres(work: string): Promise<Uint8Array<ArrayBuffer>[]> {
  return [await kept("postgres", () => postgresRoot(work)), await programLayer(work, "postgres-entrypoint")];
}

async function postgresRoot(work: string): Promise<Uint8Array<ArrayBuffer>> {
  const paths = ["doc", "man", "info", "locale"].map((name) => `/usr/share/${name}/*`);
  paths.push("/usr/lib/llvm-*", "/usr/lib/*/libLLVM*", "/usr/lib/postgresql/*/lib/bitcode/*");
  const out = join(work, "postgres.tar");
  const folder = '"$1/etc/postgresql-common"';
  await must(
    [
      "mmdebstrap",
      "--quiet",
      "--variant=minbase",
      "--include=postgresql-15",
      ...paths.map((path) => `--dpkgopt=path-exclude=${path}`),
      `--essential-hook=mkdir -p ${folder} && echo create_main_cluster=false > ${folder}/createcluster.conf`,
      "bookworm",
      out,
      await sourceLine("bookworm"),
    ],
    { env: { SOURCE_DATE_EPOCH: TIME.slice(1) } },
  );
  return await Bun.file(out).bytes();
}

/** Packages put a folder where the root has a link (`/lib`): so only what is needed, beside the program. */
async function dnsmasq(work: string): Promise<Uint8Array<ArrayBuffer>> {
  const packages = await unpackedPackages("bookworm", "dnsmasq", DNSMASQ_PACKAGES);
  const root = join(work, "layer-dnsmasq");
  const folder = join(root, "opt/dnsmasq");
  await mkdir(folder, { recursive: true });
  await must([
    "find",
    packages,
    "(",
    "-name",
    "*.so.*",
    "-o",
    "-path",
    "*/sbin/dnsmasq",
    ")",
    "-exec",
    "cp",
    "-a",
    "-t",
    folder,
    "{}",
    "+",
  ]);
  return await archiveOf(root);
}

/** A layer with one program of `tests/images/` in `/usr/local/bin`. */
async function programLayer(work: string, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const root = join(work, `layer-${name}`);
  const path = join(root, "usr/local/bin", name);
  await mkdir(join(path, ".."), { recursive: true });
  await Bun.write(path, await programText(name));
  await chmod(path, 0o755);
  return await archiveOf(root);
}

/** Six layers on busybox with what unpacking has to get right: overwritten, removed and hidden files, links, modes, owners, long names. */
async function layered(work: string): Promise<Uint8Array<ArrayBuffer>[]> {
  const long = `data/${"long-name-".repeat(12)}/${"x".repeat(120)}`;
  const steps: ((root: string) => Promise<unknown>)[] = [
    (root) =>
      fill(root, {
        "data/kept": "one\n",
        "data/changed": "one\n",
        "data/removed": "one\n",
        "data/hidden/a": "a\n",
        "data/hidden/b": "b\n",
      }),
    (root) => fill(root, { "data/changed": "two\n", "data/.wh.removed": "", [long]: "long\n" }),
    (root) => fill(root, { "data/hidden/.wh..wh..opq": "", "data/hidden/c": "c\n" }),
    async (root) => {
      await fill(root, { "data/links/file": "linked\n" });
      await must(["ln", "file", "hard"], { cwd: join(root, "data/links") });
      await symlink("file", join(root, "data/links/soft"));
      await symlink("/etc/passwd", join(root, "data/links/absolute"));
    },
    async (root) => {
      await fill(root, { "data/modes/setuid": "#!/bin/sh\n", "data/modes/private": "secret\n", "volume/seed": "from the image\n" });
      await chmod(join(root, "data/modes/setuid"), 0o4755);
      await chmod(join(root, "data/modes/private"), 0o600);
    },
    (root) => fill(root, Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`data/many/${n}`, `${n}\n`]))),
  ];
  const layers = [await busybox(work)];
  for (const [index, step] of steps.entries()) {
    const root = join(work, `layer-${index}`);
    await mkdir(root);
    await step(root);
    layers.push(await archiveOf(root));
  }
  return layers;
}

if (import.meta.main) {
  const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(IMAGES);
  for (const name of names) {
    if (!(name in IMAGES)) throw new Error(`There is no test image "${name}": ${Object.keys(IMAGES).join(", ")}`);
    const { layout, archive } = await testImage(name as TestImageName);
    console.log(`${name}\t${layout}\t${archive}`);
  }
}
