import type { Platform } from "../../src/oci/image.ts";
import { elf, type Architecture } from "../elf.ts";
import { imageOf, type Blob, type Part } from "../image.ts";
import { tarOfProgram } from "../ustar.ts";
import { amd64 } from "./amd64.ts";
import { arm64 } from "./arm64.ts";
import { GREETING } from "./greeting.ts";

const CREATED = "2026-11-22T00:00:00Z";

/** The program for one processor: prints the greeting and exits 0. */
export function program(architecture: Architecture): Uint8Array {
  const text = new TextEncoder().encode(GREETING);
  const code = architecture === "amd64" ? amd64(text.length) : arm64(text.length);
  return elf(architecture, code, text);
}

/** The image `library/hello-world` for both processors. Its digests change only when its sources do. */
export function helloWorld(): { index: Blob["digest"]; blobs: Blob[] } {
  const platforms: (Platform & { architecture: Architecture })[] = [
    { architecture: "amd64", os: "linux" },
    { architecture: "arm64", os: "linux", variant: "v8" },
  ];
  return imageOf(platforms.map(part));
}

function part(platform: Platform & { architecture: Architecture }): Part {
  return {
    platform,
    tar: tarOfProgram("hello", program(platform.architecture), Date.parse(CREATED) / 1000),
    config: {
      created: CREATED,
      config: {
        Cmd: ["/hello"],
        Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        WorkingDir: "/",
        Labels: {
          "org.opencontainers.image.title": "hello-world",
          "org.opencontainers.image.description": "Says that Lighter works, and how",
          "org.opencontainers.image.licenses": "Apache-2.0",
        },
      },
      history: [
        { created: CREATED, created_by: "COPY hello /" },
        { created: CREATED, created_by: 'CMD ["/hello"]', empty_layer: true },
      ],
    },
  };
}
