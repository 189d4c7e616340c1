import { expect, test } from "bun:test";
import type { ContainerSummary, ImageSummary, PortSummary } from "../wire/engine-api.ts";
import { containerListing } from "./container-columns.ts";
import { displayPorts } from "./display-ports.ts";
import { renderListing, table } from "./format.ts";
import { imageListing, imageRows } from "./image-columns.ts";

const NOW = 1_800_000_000_000;
const ROW: ContainerSummary = {
  Id: "dffa107ff73520516c66e697b24cb2f596a9e72c1be788e1b899a0b4dfef140d",
  Names: ["/web", "/other/link"],
  Image: "busybox",
  ImageID: `sha256:${"a".repeat(64)}`,
  Command: "sh -c 'sleep 100000 and more'",
  Created: NOW / 1000 - 90,
  Ports: [{ IP: "0.0.0.0", PrivatePort: 80, PublicPort: 8080, Type: "tcp" }],
  State: "running",
  Status: "Up 2 minutes",
  Labels: { "com.b": "2", a: "<1>" },
  SizeRw: 10,
  SizeRootFs: 2_000_000,
};
const listing = containerListing({ noTrunc: false, size: false, now: NOW });

test("the table has docker's columns, three spaces apart", async () => {
  expect(await renderListing(listing, [ROW], "", false)).toBe(
    [
      "CONTAINER ID   IMAGE     COMMAND                  CREATED              STATUS         PORTS                  NAMES",
      `dffa107ff735   busybox   "sh -c 'sleep 100000…"   About a minute ago   Up 2 minutes   0.0.0.0:8080->80/tcp   web`,
      "",
    ].join("\n"),
  );
  expect(await renderListing(listing, [], "table", false)).toBe("CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n");
});

test("quiet, JSON and templates", async () => {
  expect(await renderListing(listing, [ROW], "", true)).toBe("dffa107ff735\n");
  expect(await renderListing(listing, [ROW], '{{.ID}}\\t{{.Names}} {{.Label "com.b"}}', false)).toBe("dffa107ff735\tweb 2\n");
  expect(await renderListing(listing, [ROW], 'table {{.Names}}\\t{{.Label "com.b"}}', false)).toBe("NAMES     b\nweb       2\n");
  expect(JSON.parse(await renderListing(listing, [ROW], "json", false))).toMatchObject({
    ID: "dffa107ff735",
    Labels: "a=<1>,com.b=2",
    Size: "10B (virtual 2MB)",
  });
  expect(await renderListing(listing, [ROW], "json", false)).toContain('"Labels":"a=\\u003c1\\u003e,com.b=2"');
  expect(await renderListing(listing, [ROW], "{{json .}}", false)).toBe(await renderListing(listing, [ROW], "json", false));
});

test("a wrong template is told in docker's words", async () => {
  await expect(renderListing(listing, [ROW], "{{.Foo}}", false).then(String)).rejects.toThrow(
    `failed to execute template: template: :1:2: executing "" at <.Foo>: can't evaluate field Foo in type *formatter.ContainerContext`,
  );
  await expect(renderListing(listing, [], "{{.Foo", false).then(String)).rejects.toThrow(
    "failed to parse template: template: :1: unclosed action",
  );
});

test("columns are measured in characters, not bytes", () => {
  expect(
    table([
      ["A", "B"],
      ["größer als zehn", "x"],
    ]),
  ).toBe("A                 B\ngrößer als zehn   x\n");
});

const port = (PrivatePort: number, PublicPort?: number, IP?: string, Type: "tcp" | "udp" = "tcp"): PortSummary => ({
  PrivatePort,
  Type,
  ...(PublicPort !== undefined && { PublicPort }),
  ...(IP !== undefined && { IP }),
});

test.each([
  [[port(80, 8080, "0.0.0.0"), port(80, 8080, "::")], "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"],
  [[port(82), port(80), port(81), port(90)], "80-82/tcp, 90/tcp"],
  [[port(80, 80, "0.0.0.0"), port(81, 81, "0.0.0.0")], "0.0.0.0:80-81->80-81/tcp"],
  [[port(53, 53, "0.0.0.0", "udp"), port(53, 53, "0.0.0.0")], "0.0.0.0:53->53/tcp, 0.0.0.0:53->53/udp"],
  [[port(80, 9000, "127.0.0.1"), port(443)], "443/tcp, 127.0.0.1:9000->80/tcp"],
])("ports %#", (ports, text) => {
  expect(displayPorts(ports)).toBe(text);
});

test("an image is a line for each of its names", async () => {
  const image = (fields: Partial<ImageSummary>): ImageSummary =>
    ({
      Id: `sha256:${"b".repeat(64)}`,
      Created: NOW / 1000 - 7200,
      Size: 1_984_162,
      SharedSize: -1,
      Containers: -1,
      RepoTags: [],
      RepoDigests: [],
      ...fields,
    }) as ImageSummary;
  const digest = `sha256:${"c".repeat(64)}`;
  const images = [
    image({ RepoTags: ["a:1", "a:2", "h:5000/b:1"], RepoDigests: [`a@${digest}`] }),
    image({ RepoDigests: [`d@${digest}`] }),
    image({}),
  ];
  const view = { noTrunc: false, digests: false, now: NOW };
  expect(await renderListing(imageListing(view), imageRows(images, false), "{{.Repository}}:{{.Tag}}", false)).toBe(
    "a:1\na:2\nh:5000/b:1\nd:<none>\n<none>:<none>\n",
  );
  expect(
    await renderListing(imageListing({ ...view, digests: true }), imageRows([images[0] ?? image({})], true).slice(0, 1), "", false),
  ).toBe(
    `REPOSITORY   TAG       DIGEST                                                                    IMAGE ID       CREATED       SIZE\na            1         ${digest}   bbbbbbbbbbbb   2 hours ago   1.98MB\n`,
  );
});
