/** Images: pull, tag, save, load, import, remove, and what bad registries do. Deadline: 150 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { must } from "../tools/shell.ts";
import { staticBusybox } from "../tools/programs.ts";
import { testImage } from "../tools/test-images.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { treeOf } from "./harness/tree.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox", "layered"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

for (const name of CLIENTS) {
  test(`${name}: pull says what docker says, and a second pull that it is up to date`, async () => {
    const client = ground.client(name);
    const digest = await ground.registry.push((await testImage("layered")).layout, "pulled");
    const reference = `${ground.registry.host}/pulled`;
    await client.run(["rmi", "-f", `${reference}:latest`, "layered", `${ground.registry.host}/layered`]);
    const first = await client.run(["pull", reference]);
    expect(first.code).toBe(0);
    expect(first.stdout).toStartWith("Using default tag: latest\nlatest: Pulling from pulled\n");
    expect(first.stdout).toEndWith(`Digest: ${digest}\nStatus: Downloaded newer image for ${reference}:latest\n${reference}:latest\n`);
    const second = await client.run(["pull", reference]);
    expect(second.stdout).toEndWith(`Digest: ${digest}\nStatus: Image is up to date for ${reference}:latest\n${reference}:latest\n`);
    expect((await client.run(["pull", "-q", reference])).stdout).toBe(`${reference}:latest\n`);
    expect((await client.run(["pull", `${reference}@${digest}`])).code).toBe(0);
    await client.must("tag", reference, "layered");
  });

  test(`${name}: tag, images, history, inspect, rmi`, async () => {
    const client = ground.client(name);
    await client.must("tag", "busybox", "example.test/team/tool:1.0");
    expect(await client.must("images", "--format", "{{.Repository}}:{{.Tag}}", "example.test/team/tool")).toBe(
      "example.test/team/tool:1.0",
    );
    expect(await client.must("images")).toMatch(/^(REPOSITORY +TAG +IMAGE ID +CREATED +SIZE|IMAGE +ID +DISK USAGE +CONTENT SIZE +EXTRA?)/);
    expect((await client.must("history", "-q", "layered")).split("\n").length).toBe(7);
    expect(await client.must("inspect", "-f", "{{.Os}}/{{.Architecture}} {{json .Config.Cmd}}", "busybox")).toMatch(
      /^linux\/(amd64|arm64) \["sh"\]$/,
    );
    const removed = await client.must("rmi", "example.test/team/tool:1.0");
    expect(removed).toBe("Untagged: example.test/team/tool:1.0");
    const gone = await client.run(["rmi", "example.test/team/tool:1.0"]);
    expect(gone.code).toBe(1);
    expect(gone.stderr).toContain("No such image: example.test/team/tool:1.0");
  });

  test(`${name}: save and load give the same image`, async () => {
    const client = ground.client(name);
    const archive = ground.path(`${ground.name()}.tar`);
    await client.must("tag", "layered", "saved:1");
    const id = await client.must("inspect", "-f", "{{.Id}}", "saved:1");
    await client.must("save", "-o", archive, "saved:1");
    const names = (await must(["tar", "-tf", archive])).split("\n");
    expect(names).toContain("manifest.json");
    await client.must("rmi", "saved:1");
    expect(await client.must("load", "-i", archive)).toContain("Loaded image: saved:1");
    expect(await client.must("inspect", "-f", "{{.Id}}", "saved:1")).toBe(id);
    expect((await client.run(["run", "--rm", "saved:1", "cat", "/data/changed"])).stdout).toBe("two\n");
    await client.must("rmi", "saved:1");
  });

  test(`${name}: load takes the old form of docker save`, async () => {
    const client = ground.client(name);
    const { stdout, code } = await client.run(["load"], { stdin: Bun.file((await testImage("layered")).archive) });
    expect({ code, stdout: stdout.trim() }).toMatchObject({ code: 0, stdout: "Loaded image: layered:latest" });
    expect((await client.run(["run", "--rm", "layered", "cat", "kept"])).stdout).toBe("one\n");
  });

  test(`${name}: import a root file system`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must("create", "--name", container, "busybox");
    const tar = ground.path(`${container}.tar`);
    await must([
      "sh",
      "-c",
      `mkdir -p ${tar}.d/bin && cp ${await staticBusybox()} ${tar}.d/bin/cat && echo imported > ${tar}.d/word && tar -C ${tar}.d -cf ${tar} .`,
    ]);
    expect(await client.must("import", "--change", 'CMD ["cat"]', tar, "imported:1")).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await client.must("inspect", "-f", "{{json .Config.Cmd}}", "imported:1")).toBe('["cat"]');
    await client.must("rmi", "imported:1");
    await client.must("rm", container);
  });

  test(`${name}: import from an address, and what is said where there is nothing`, async () => {
    const client = ground.client(name);
    const tar = ground.path(`${ground.name()}.tgz`);
    await must(["tar", "-C", "/etc", "-czf", tar, "hostname"]);
    const fetch = ({ url }: Request): Response =>
      url.endsWith(".tgz") ? new Response(Bun.file(tar)) : new Response("gone", { status: 404 });
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch });
    const host = `127.0.0.1:${server.port}`;
    try {
      const taken = await client.run(["import", "--message", "by address", `http://${host}/root.tgz`, "far:2"]);
      expect(taken.stdout).toMatch(new RegExp(`^Downloading from http://${host}/root.tgz\\s+sha256:[0-9a-f]{64}\\s+$`));
      expect(await client.must("inspect", "-f", "{{.Comment}}", "far:2")).toBe("by address");
      await client.must("rmi", "far:2");
      const gone = await client.run(["import", `http://${host}/none`]);
      expect([gone.code, gone.stderr]).toEqual([
        1,
        expect.stringContaining(`failed to GET http://${host}/none with status 404 Not Found: gone`),
      ]);
    } finally {
      await server.stop(true);
    }
    const { stderr } = await client.run(["import", `http://${host}/root.tgz`]);
    expect(stderr).toContain(`Get "http://${host}/root.tgz": dial tcp ${host}: connect: connection refused`);
  });

  test(`${name}: an image for another machine is warned of, unless its platform was asked for`, async () => {
    const client = ground.client(name);
    const tar = ground.path(`${ground.name()}.tar`);
    await must(["tar", "-C", "/etc", "-cf", tar, "hostname"]);
    await ground.lighter.must("import", "--platform", "linux/s390x", tar, "far:1");
    const mine = `linux/${process.arch === "x64" ? "amd64" : process.arch}`;
    const plain = await client.run(["create", "far:1", "true"]);
    expect(plain.stderr).toBe(
      `WARNING: The requested image's platform (linux/s390x) does not match the detected host platform (${mine}) and no specific platform was requested\n`,
    );
    const asked = await client.run(["create", "--platform", "linux/s390x", "far:1", "true"]);
    expect(asked).toMatchObject({ code: 0, stderr: "" });
    await client.must("rm", plain.stdout.trim(), asked.stdout.trim());
    await client.must("rmi", "far:1");
  });

  test(`${name}: a platform that is not here is pulled by run, as an image that is not`, async () => {
    const client = ground.client(name);
    const tar = ground.path(`${ground.name()}.tar`);
    const list = `${ground.registry.host}/two:1`;
    await must(["tar", "-C", "/etc", "-cf", tar, "hostname"]);
    await ground.lighter.must("import", "--platform", "linux/s390x", tar, `${list}-far`);
    await ground.lighter.must("tag", "busybox", `${list}-near`);
    for (const part of ["far", "near"]) await ground.lighter.must("push", `${list}-${part}`);
    await ground.lighter.must("manifest", "create", list, `${list}-far`, `${list}-near`);
    await ground.lighter.must("manifest", "push", "--purge", list);
    await client.must("pull", "-q", "--platform", "linux/s390x", list);
    const mine = `linux/${process.arch === "x64" ? "amd64" : process.arch}`;
    const ran = await client.run(["run", "--rm", "--network", "none", "--platform", mine, list, "echo", "ran"]);
    expect([ran.code, ran.stdout]).toEqual([0, "ran\n"]);
    expect(ran.stderr).toStartWith(`Unable to find image '${list}' locally\n`);
    await client.must("rmi", list, `${list}-far`, `${list}-near`);
  });
}

test("layers unpack as umoci unpacks them", async () => {
  const { layout } = await testImage("layered");
  const folder = ground.path("umoci");
  await must(["umoci", "unpack", "--image", `${layout}:latest`, folder]);
  const expected = await treeOf(`${folder}/rootfs`);
  const { stdout } = await ground.lighter.run([
    "run",
    "--rm",
    "--read-only",
    "--network",
    "none",
    "-v",
    `${process.cwd()}:/unused:ro`,
    "layered",
    "sh",
    "-c",
    "cd / && find data volume bin -exec stat -c '%n %F %a %u %g %h %s %Y' {} +",
  ]);
  const seen = new Map(
    stdout
      .trim()
      .split("\n")
      .map((line) => [line.split(" ")[0] ?? "", line]),
  );
  for (const [path, entry] of expected) {
    if (!/^(data|volume|bin)(\/|$)/.test(path)) continue;
    const line = seen.get(path);
    expect(line).toBeDefined();
    expect(line).toContain(` ${entry.mode} ${entry.uid} ${entry.gid} `);
    if (entry.file) expect(line).toContain(` ${entry.size} ${entry.mtime}`);
    seen.delete(path);
  }
  expect([...seen.keys()].filter((path) => !path.startsWith("volume"))).toEqual([]);
});

test("an unknown image and an unknown tag are said as Docker says them", async () => {
  const { host } = ground.registry;
  const unknown = await ground.lighter.run(["pull", `${host}/none`]);
  expect(unknown.code).toBe(1);
  expect(unknown.stderr).toMatch(/not found|manifest unknown/);
  expect((await ground.lighter.run(["run", "--rm", "--pull", "never", "none"])).stderr).toMatch(/No such image: none:latest/);
});

/** A registry that answers as `answer` says; everything is `application/json`. */
async function badRegistry(answer: (request: Request) => Response, run: (host: string) => Promise<void>): Promise<void> {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
  try {
    await run(`127.0.0.1:${server.port}`);
  } finally {
    await server.stop(true);
  }
}

async function ingests(): Promise<number> {
  return (await Array.fromAsync(new Bun.Glob("content/ingest/*").scan({ cwd: ground.daemon.dataRoot, onlyFiles: false }))).length;
}

const BAD: Record<string, (request: Request) => Response> = {
  garbage: () => new Response("<html>no registry here</html>"),
  "an error of its own": () =>
    Response.json({ errors: [{ code: "DENIED", message: "requested access to the resource is denied" }] }, { status: 403 }),
  "500": () => new Response("boom", { status: 500 }),
  "a wrong digest": ({ url }) => {
    if (url.includes("/manifests/")) {
      const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: `sha256:${"a".repeat(64)}`, size: 4 };
      const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: `sha256:${"b".repeat(64)}`, size: 4 };
      const manifest = { schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config, layers: [layer] };
      return Response.json(manifest, { headers: { "content-type": manifest.mediaType } });
    }
    return new Response("evil");
  },
  "a body that ends early": ({ url }) => {
    if (!url.includes("/manifests/")) return Response.json({});
    return new Response(
      new ReadableStream({
        start: (controller) => {
          controller.enqueue(Buffer.from("{"));
          controller.error(new Error("cut"));
        },
      }),
    );
  },
};

for (const [kind, answer] of Object.entries(BAD)) {
  test(`a registry that answers ${kind}: one sentence, nothing half-made`, async () => {
    await badRegistry(answer, async (host) => {
      const { code, stderr } = await ground.lighter.run(["pull", `${host}/thing`], { timeout: 30_000 });
      expect(code).toBe(1);
      expect(stderr.trim().length).toBeGreaterThan(10);
      expect(stderr).not.toMatch(/undefined|\[object|TypeError|at async/);
      expect(await ground.lighter.must("images", "-q", `${host}/thing`)).toBe("");
      expect(await ingests()).toBe(0);
    });
  });
}
