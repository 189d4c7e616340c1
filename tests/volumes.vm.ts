/** Volumes on a booted Debian: project quotas, NFS that serves and NFS that does not answer, mounts that pass to and fro. Deadline: 3600 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { bootVm, type Vm } from "../tools/vm.ts";
import { figure } from "./harness/figures.ts";

const MINUTES_5 = 300_000;
const MINUTES_20 = 1_200_000;
const IMAGE = "/root/lighter/.cache/images/1/busybox.tar";

let vm: Vm;
/** Runs a command that has to succeed; its output. */
const sh = async (command: string): Promise<string> => {
  const { code, stdout } = await vm.run(command, { timeout: MINUTES_5 });
  if (code !== 0) throw new Error(`${command}: exit code ${code}\n${stdout}`);
  return stdout.trim();
};
/** Runs one that has to fail; its output. */
const fails = async (command: string): Promise<string> => {
  const { code, stdout } = await vm.run(command, { timeout: MINUTES_5 });
  if (code === 0) throw new Error(`${command}: it did not fail\n${stdout}`);
  return stdout.trim();
};

/** A daemon of its own on a file system with project quotas; `lq` is its client. */
const QUOTAS = `truncate -s 400M /quota.img; mkfs.ext4 -q -O quota,project -E quotatype=prjquota /quota.img; mkdir -p /quota; mount -o loop,prjquota /quota.img /quota;
  printf '#!/bin/sh\\nexec lighter -H unix:///run/quota.sock "$@"\\n' > /usr/local/bin/lq; chmod 755 /usr/local/bin/lq;
  (setsid lighter daemon --data-root /quota/lighter --exec-root /run/quota -H unix:///run/quota.sock --pidfile /run/quota.pid > /root/quota.log 2>&1 < /dev/null &);
  for i in $(seq 120); do test -S /run/quota.sock && break; sleep 1; done; lq load -q -i ${IMAGE}`;

/** An export of a directory to this machine alone. */
const EXPORT = `mkdir -p /srv/nfs; echo served > /srv/nfs/f; systemctl start nfs-server; exportfs -o rw,no_root_squash,fsid=0,insecure "127.0.0.1:/srv/nfs"`;
/** All that goes to the server is lost, as behind a firewall; and all is well again. */
const LOST =
  'nft add table inet hole; nft "add chain inet hole in { type filter hook input priority -200; }"; nft add rule inet hole in tcp dport 2049 drop';
const FOUND = "nft delete table inet hole";
/** `findmnt -t` ends well when it found nothing, too. */
const UNMOUNTED = "! grep ' - nfs4 ' /proc/self/mountinfo";

beforeAll(async () => {
  vm = await bootVm("bookworm");
  await sh("dmesg -n 1; ln -s /root/lighter/dist/lighter /usr/local/bin/lighter");
  await sh(`lighter load -q -i ${IMAGE}`);
}, MINUTES_20);
afterAll(async () => await vm?.[Symbol.asyncDispose](), MINUTES_5);

test(
  "a volume holds what its size says, where the file system counts by project; elsewhere it is refused",
  async () => {
    expect(await fails("lighter volume create -o size=5m limited")).toContain("create limited: quota size requested but no quota support");
    await sh(QUOTAS);
    await sh("lq volume create -o size=5m limited; lq volume create free");
    const fill = "dd if=/dev/zero of=/v/x bs=1M count=20";
    expect(await fails(`lq run --rm -v limited:/v busybox ${fill}`)).toContain("Disk quota exceeded");
    await sh(`lq run --rm -v free:/v busybox ${fill}`);
    expect(await sh("lq volume du --format '{{.Name}} {{.Limit}}'")).toBe("free -\nlimited 5.24MB");
    // Its clone and what is made of its archive hold as much; one that is gone leaves no limit behind.
    await sh("lq run --rm -v limited:/v busybox sh -c 'rm /v/x; mkdir /v/d; echo kept > /v/d/f'; lq volume clone limited clone");
    await sh("lq volume backup -o /root/limited.tar.zst limited; lq volume restore -i /root/limited.tar.zst again");
    for (const name of ["clone", "again"]) {
      expect(await fails(`lq run --rm -v ${name}:/v busybox sh -c 'cat /v/d/f; dd if=/dev/zero of=/v/d/x bs=1M count=20'`)).toMatch(
        /^kept[^]*Disk quota exceeded/,
      );
    }
    expect(
      await sh("lighter volume restore -i /root/limited.tar.zst unlimited; lighter volume inspect -f '{{json .Options}}' unlimited"),
    ).toBe("unlimited\nnull");
    await sh("lq volume rm limited clone again free; lq volume create -o size=1m limited");
    expect(await sh("lq volume du --format '{{.Name}} {{.Limit}}'")).toBe("limited 1.05MB");
    await writable();
    await sh("kill $(cat /run/quota.pid)");
    await figure(
      "vm",
      "volumes: 20 MB into one of 5 MB, its clone and its restored backup, on ext4 with project quotas",
      "Disk quota exceeded",
    );
  },
  MINUTES_20,
);

/** What containers write outside of volumes, by `--storage-opt` and by the daemon's own default. */
async function writable(): Promise<void> {
  const fill = (count: number): string => `sh -c 'mkdir -p /d && dd if=/dev/zero of=/d/x bs=1M count=${count}'`;
  expect(await fails("lighter run --rm --storage-opt size=5m busybox true")).toContain(
    "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
  );
  expect(await fails("lq run --rm --storage-opt foo=5m busybox true")).toContain("Unknown option foo");
  expect(await fails("lq run --rm --storage-opt size=x busybox true")).toContain("invalid size: 'x'");
  expect(await fails(`lq run --rm --storage-opt size=5m busybox ${fill(20)}`)).toContain("Disk quota exceeded");
  await sh(`lq run --name wide --storage-opt size=40m busybox ${fill(20)}; lq run --rm busybox ${fill(50)}`);
  // What it has written counts at its next start, too; what is copied up, moved and removed stays within its limit.
  await sh("lq create --name kept --storage-opt size=5m busybox sh -c 'head -c 3000000 /dev/zero >> /x'; lq start -a kept");
  expect(await fails("lq start -a kept")).toMatch(/quota exceeded|I\/O error/i);
  const turn = "echo >> /etc/passwd && rm /etc/passwd && mkdir /a && echo moved > /a/f && mv /a /b && cat /b/f";
  expect(await sh(`lq run --rm --storage-opt size=5m busybox sh -c '${turn}'`)).toBe("moved");
  await sh("lq rm wide kept");
  await sh(
    "kill $(cat /run/quota.pid); while test -e /run/quota.pid; do sleep 1; done; " +
      "(setsid lighter daemon --storage-opt overlay2.size=8m --data-root /quota/lighter --exec-root /run/quota -H unix:///run/quota.sock --pidfile /run/quota.pid " +
      "> /root/quota.log 2>&1 < /dev/null &); for i in $(seq 120); do test -e /run/quota.pid && break; sleep 1; done",
  );
  expect(await fails(`lq run --rm busybox ${fill(20)}`)).toContain("Disk quota exceeded");
  await sh(`lq run --rm --storage-opt size=40m busybox ${fill(20)}`);
  expect(
    await fails("lighter daemon --storage-opt overlay2.size=8m --data-root /root/plain --exec-root /run/plain -H unix:///run/plain.sock"),
  ).toContain("Cannot use storage option overlay2.size");
}

test(
  "NFS: a volume by address and by name, written and read, unmounted with its volume",
  async () => {
    await sh(EXPORT);
    for (const address of ["127.0.0.1", "localhost"]) {
      await sh(`lighter volume create -o type=nfs -o device=:/ -o o=addr=${address},vers=4.2 far`);
      expect(
        await sh("lighter run --rm -v far:/v busybox sh -c 'cat /v/f; echo back > /v/back; grep -c nfs4 /proc/mounts'; cat /srv/nfs/back"),
      ).toBe("served\n1\nback");
      await sh(`lighter volume rm far; ${UNMOUNTED} && rm /srv/nfs/back`);
    }
    await sh("lighter volume create -o type=nfs -o device=:/not-there -o o=addr=127.0.0.1,vers=4.2 nowhere");
    expect(await fails("lighter run --rm -v nowhere:/v busybox true")).toMatch(
      /error while mounting volume '.*': failed to mount local volume/,
    );
    await sh("lighter volume rm nowhere");
  },
  MINUTES_20,
);

test(
  "NFS that does not answer keeps its own containers only, and not for ever; a kill ends the wait",
  async () => {
    await sh(`${EXPORT}; lighter volume create -o type=nfs -o device=:/ -o o=addr=127.0.0.1,vers=4.2 dead`);
    await sh("lighter run -d --name holder -v dead:/v busybox sleep 100000; lighter volume create near");
    await sh(LOST);
    expect(await fails("lighter run --rm -v dead:/v busybox cat /v/f")).toContain(`Cannot use volume "dead": :/: no answer within`);
    expect(await fails("lighter run --rm -v /var/lib/lighter/volumes/dead/_data/d:/v busybox true")).toContain(
      "its server does not answer",
    );
    expect(await sh("lighter run --rm busybox echo others")).toBe("others");
    expect(await fails("lighter volume du dead near --format '{{.Name}} {{.Size}}'")).toMatch(/^near [^]*^dead unreachable$/m);
    await sh(`lighter rm -f holder; lighter volume rm dead near; ${UNMOUNTED}`);

    await sh("lighter volume create -o type=nfs -o device=:/ -o o=addr=127.0.0.1,vers=4.2 late");
    await sh(
      "(lighter run --name hung -v late:/v busybox cat /v/f > /root/hung.log 2>&1; echo ended >> /root/hung.log) > /dev/null 2>&1 &",
    );
    await sh("for i in $(seq 60); do pgrep -x mount && break; sleep 1; done; pgrep -x mount");
    expect(await sh("lighter run --rm busybox echo others; lighter volume ls -q")).toContain("others");
    await vm.run("lighter kill hung", { timeout: MINUTES_5 });
    await sh("for i in $(seq 60); do grep -q ended /root/hung.log && break; sleep 1; done");
    expect(await sh("cat /root/hung.log")).toMatch(/failed to mount local volume: .*: cancelled[^]*ended$/);
    await sh(`lighter rm hung; lighter volume rm late; ${FOUND}`);
    await figure("vm", "volumes: NFS whose server is lost: other containers, and a kill of the one that waits", "go on, ends the wait");
  },
  MINUTES_20,
);

test(
  "mounts pass to and fro as asked: shared, slave and private",
  async () => {
    await sh("mkdir -p /root/both/inner /root/both/other");
    for (const [mode, seen] of [
      ["rshared", "there"],
      ["rslave", "there"],
      ["rprivate", ""],
    ] as const) {
      await sh(
        `lighter run -d --name mover --privileged -v /root/both:/both:${mode} busybox sleep 1000; mount -t tmpfs none /root/both/inner`,
      );
      expect(await sh("touch /root/both/inner/there; lighter exec mover ls /both/inner")).toBe(seen);
      await sh("umount /root/both/inner; lighter exec mover sh -c 'mount -t tmpfs none /both/other && touch /both/other/made'");
      expect(await sh("ls /root/both/other")).toBe(mode === "rshared" ? "made" : "");
      await sh("lighter exec mover umount /both/other; lighter rm -f mover");
    }
  },
  MINUTES_20,
);
