/** What `diff` and `export` tell of a container: the same lines as Docker's for the same changes (compared with dockerd 20.10). Deadline: 60 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { must } from "../tools/shell.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

const WORK = `cd /; echo new > /etc/new; echo more >> /etc/passwd; rm /etc/group; mkdir -p /a/b/c; echo x > /a/b/c/f; ln -s f /a/b/c/l; ln /a/b/c/f /a/hard
mkfifo /a/p; mknod /a/cdev c 1 3; rm -rf /usr; mkdir /usr; echo u > /usr/own; mv /root /root2; chmod 711 /home; touch /tmp/t; rm /tmp/t
chown 5:6 /bin/busybox; rm /bin/vi; mkdir /bin/vi; echo in > /bin/vi/in; rm /bin/wc; echo f > /bin/wc; ln -sf nowhere /bin/tac
printf sparse > /a/sp; truncate -s 10M /a/sp; chmod 4755 /a/hard; touch "/a/with space" "/a/ünï"`;

/** dockerd 20.10's own answer to the same commands in the same image, sorted as a tree; its order is a map's. */
const CHANGES = `A /a
A /a/b
A /a/b/c
A /a/b/c/f
A /a/b/c/l
A /a/cdev
A /a/hard
A /a/p
A /a/sp
A /a/with space
A /a/ünï
C /bin
C /bin/busybox
C /bin/tac
C /bin/vi
A /bin/vi/in
C /bin/wc
C /etc
D /etc/group
A /etc/new
C /etc/passwd
C /home
D /root
A /root2
C /usr
A /usr/own
D /usr/sbin
A /vol`;

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  await ground.lighter.must("run", "-d", "--name", "running", "-v", "/vol", "busybox", "sh", "-c", `${WORK}; echo done; sleep 600`);
  await ground.lighter.must("run", "--name", "stopped", "-v", "/vol", "busybox", "sh", "-c", WORK);
  await until("the work is done", async () => (await ground.lighter.run(["logs", "running"])).stdout.includes("done"));
}, 120_000);
afterAll(async () => await ground?.[Symbol.asyncDispose]());

for (const name of CLIENTS) {
  test(`${name}: the changes of running and stopped containers`, async () => {
    for (const container of ["running", "stopped"]) expect(await ground.client(name).must("diff", container)).toBe(CHANGES);
  });

  test(`${name}: a container that was never started, and one that wrote nothing, have none`, async () => {
    const client = ground.client(name);
    expect(await client.must("diff", await client.must("create", "--init", "busybox"))).toBe("");
    const id = await client.must(
      "run",
      "-d",
      "--init",
      "busybox",
      "sh",
      "-c",
      "cat /etc/passwd; ls -R / > /dev/null; touch /tmp/x; rm /tmp/x",
    );
    await client.must("wait", id);
    expect(await client.must("diff", id)).toBe("");
  });

  test(`${name}: export`, async () => {
    const client = ground.client(name);
    for (const container of ["running", "stopped"]) {
      const archive = ground.path(`${ground.name()}.tar`);
      await client.must("export", "-o", archive, container);
      const lines = (await must(["tar", "--numeric-owner", "-tvf", archive])).split("\n").map((line) => line.split(/\s+/));
      const found = Object.fromEntries(
        lines.map(([mode = "", owner, size, , , path = "", ...rest]) => [path, [mode, owner, size, ...rest].join(" ")]),
      );
      expect(found).toMatchObject({
        ".dockerenv": "-rwxr-xr-x 0/0 0",
        "dev/console": "-rwxr-xr-x 0/0 0",
        "dev/pts/": "drwxr-xr-x 0/0 0",
        "dev/shm/": "drwxr-xr-x 0/0 0",
        "etc/hostname": "-rwxr-xr-x 0/0 0",
        "etc/hosts": "-rwxr-xr-x 0/0 0",
        "etc/resolv.conf": "-rwxr-xr-x 0/0 0",
        "etc/mtab": "lrwxrwxrwx 0/0 0 -> /proc/mounts",
        "etc/new": "-rw-r--r-- 0/0 4",
        "a/b/c/f": "-rwsr-xr-x 0/0 2",
        "a/hard": "hrwsr-xr-x 0/0 0 link to a/b/c/f",
        "a/p": "prw-r--r-- 0/0 0",
        "a/cdev": "crw-r--r-- 0/0 1,3",
        "a/sp": "-rw-r--r-- 0/0 10485760",
        "bin/busybox": expect.stringMatching(/^-rwxr-xr-x 5\/6 /) as unknown,
        "bin/tac": "lrwxrwxrwx 0/0 0 -> nowhere",
        "proc/": "drwxr-xr-x 0/0 0",
      });
      for (const gone of ["root/", "etc/group", "usr/sbin/", "tmp/t"]) expect(found[gone]).toBeUndefined();
      expect(Object.keys(found).filter((path) => path.startsWith("vol/") || path.includes(".wh."))).toEqual(["vol/"]);
    }
  });
}

test("an export can be imported and runs", async () => {
  const archive = ground.path("again.tar");
  await ground.lighter.must("export", "-o", archive, "stopped");
  await ground.lighter.must("import", archive, "again");
  expect(await ground.lighter.must("run", "--rm", "again", "cat", "/usr/own", "/bin/vi/in", "/etc/new")).toBe("u\nin\nnew");
});
