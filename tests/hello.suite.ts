/** `run hello-world` from the command line to the greeting. Deadline: 90 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { GREETING } from "../shipped/hello-world/greeting.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { Terminal } from "./harness/terminal.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay([])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

for (const name of CLIENTS) {
  test(`${name}: run hello-world pulls, greets and exits 0`, async () => {
    const client = ground.client(name);
    await client.run(["rmi", "-f", "hello-world"]);
    const begin = performance.now();
    const { code, stdout, stderr } = await client.run(["run", "hello-world"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: GREETING });
    expect(performance.now() - begin).toBeLessThan(20_000);
    const lines = stderr.trimEnd().split("\n");
    const order = [
      /^Unable to find image 'hello-world:latest' locally$/,
      /^latest: Pulling from library\/hello-world$/,
      /^[0-9a-f]{12}: Pulling fs layer/,
      /^[0-9a-f]{12}: Pull complete/,
      /^Digest: sha256:[0-9a-f]{64}$/,
      /^Status: Downloaded newer image for hello-world:latest$/,
    ];
    const places = order.map((pattern) => lines.findIndex((line) => pattern.test(line)));
    expect({ missing: order.filter((_, n) => places[n] === -1), stderr }).toEqual({ missing: [], stderr });
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(stderr).toMatch(/^Docker Hub cannot be reached .*registry built into Lighter/m);
    const [id = "", ...row] = (await client.must("ps", "-a", "--format", "{{.ID}} {{.Image}} {{.Command}} {{.Status}}")).split(" ");
    expect(row.join(" ")).toMatch(/^hello-world "\/hello" Exited \(0\) /);
    await client.must("rm", id);
  });

  test(`${name}: a second run finds the image and pulls nothing`, async () => {
    const { code, stdout, stderr } = await ground.client(name).run(["run", "--rm", "hello-world"]);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: GREETING, stderr: "" });
  });
}

test("on a terminal the progress bars end in Pull complete, in place", async () => {
  const { lighter } = ground;
  await lighter.run(["rmi", "-f", "hello-world"]);
  await using terminal = await Terminal.open(lighter.line("run", "--rm", "hello-world"), { columns: 120, rows: 50 });
  const screen = await terminal.shows(/\[exit 0\]/, 15_000);
  expect(screen.match(/Pull complete/g)?.length).toBe(1);
  expect(screen).not.toContain("Downloading");
  expect(screen).toContain("Hello from Lighter!");
});

test("the digest that the pull shows is the image's, by which it can be named", async () => {
  const { lighter } = ground;
  const digest = /Digest: (sha256:[0-9a-f]{64})/.exec((await lighter.run(["pull", "hello-world"])).stdout)?.[1] ?? "";
  expect(await lighter.must("inspect", "--format", "{{index .RepoDigests 0}}", "hello-world")).toBe(`hello-world@${digest}`);
  expect((await lighter.run(["run", "--rm", `hello-world@${digest}`])).stdout).toBe(GREETING);
});
