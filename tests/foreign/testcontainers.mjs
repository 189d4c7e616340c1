// testcontainers (npm), unmodified, with a PostgreSQL of Debian's packages and a clean-up container that speaks ryuk's protocol.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { load, runAll, test } from "./report.mjs";

const { GenericContainer, Network, Wait, getReaper, getContainerRuntimeClient } = load("testcontainers");
const { PostgreSqlContainer } = load("@testcontainers/postgresql");
const { Client } = load("pg");

/** A web server that takes a moment to get up. */
function listening() {
  const line = "echo getting up; mkdir /www; echo hi > /www/index.html; sleep 0.3; echo ready; exec httpd -f -p 8080 -h /www";
  return new GenericContainer("busybox").withCommand(["sh", "-c", line]);
}

test("waits for a log line and a port", async () => {
  const container = await listening().withExposedPorts(8080).withWaitStrategy(Wait.forLogMessage("ready")).start();
  ok(container.getMappedPort(8080) > 0);
  let said = "";
  for await (const bytes of await container.logs()) {
    said += bytes;
    if (said.includes("ready\n")) break; // logs are followed
  }
  equal(said, "getting up\nready\n");
  await container.stop();
});

test("waits for listening ports", async () => {
  const container = await listening().withExposedPorts(8080).withWaitStrategy(Wait.forListeningPorts()).start();
  await container.stop();
});

test("waits for a program that succeeds inside", async () => {
  const container = await new GenericContainer("busybox")
    .withCommand(["sh", "-c", "sleep 0.3; touch /up; sleep 600"])
    .withWaitStrategy(Wait.forSuccessfulCommand("test -e /up"))
    .start();
  await container.stop();
});

test("waits for the end of a one-shot container", async () => {
  const container = await new GenericContainer("busybox")
    .withCommand(["sh", "-c", "echo once"])
    .withWaitStrategy(Wait.forOneShotStartup())
    .start();
  match(await text(await container.logs()), /once/);
  await container.stop();
});

test("waits for a health check", async () => {
  const container = await new GenericContainer("busybox")
    .withCommand(["sh", "-c", "sleep 0.5; touch /up; sleep 600"])
    .withHealthCheck({ test: ["CMD-SHELL", "test -e /up"], interval: 200, timeout: 3000, retries: 50 })
    .withWaitStrategy(Wait.forHealthCheck())
    .start();
  await container.stop();
});

test("a container that ends too soon fails the wait", async () => {
  const starting = new GenericContainer("busybox")
    .withCommand(["sh", "-c", "echo never; exit 3"])
    .withWaitStrategy(Wait.forLogMessage("ready").withStartupTimeout(5000))
    .start();
  await rejects(starting);
});

test("exec with its exit code and output, both streams", async () => {
  const container = await new GenericContainer("busybox").withCommand(["sleep", "600"]).start();
  const { exitCode, stdout, stderr } = await container.exec(["sh", "-c", "echo out $X; echo err >&2; exit 7"], {
    env: { X: "1" },
    workingDir: "/tmp",
  });
  deepEqual([exitCode, stdout, stderr], [7, "out 1\n", "err\n"]);
  await container.stop();
});

test("copies files, folders and content in and out, before and after the start", async () => {
  const file = join(process.env.LIGHTER_FOLDER ?? "/tmp", "copied");
  await writeFile(file, "from a file\n");
  const container = await new GenericContainer("busybox")
    .withCommand(["sleep", "600"])
    .withCopyFilesToContainer([{ source: file, target: "/tmp/file" }])
    .withCopyContentToContainer([{ content: "given\n", target: "/tmp/given", mode: 0o600 }])
    .start();
  await container.copyContentToContainer([{ content: "later\n", target: "/tmp/later" }]);
  equal((await container.exec(["cat", "/tmp/file", "/tmp/given", "/tmp/later"])).stdout, "from a file\ngiven\nlater\n");
  match(await text(await container.copyArchiveFromContainer("/tmp/given")), /given\n/);
  await container.stop();
});

test("a network with aliases", async () => {
  const network = await new Network().start();
  const server = await listening().withNetwork(network).withNetworkAliases("server").withWaitStrategy(Wait.forLogMessage("ready")).start();
  const client = await new GenericContainer("busybox").withCommand(["sleep", "600"]).withNetwork(network).start();
  equal((await client.exec(["wget", "-qO-", "http://server:8080/"])).stdout, "hi\n");
  await client.stop();
  await server.stop();
  await network.stop();
});

test("restart, environment, labels, user, limits, tmpfs, bind mounts", async () => {
  const container = await new GenericContainer("busybox")
    .withCommand(["sh", "-c", "echo up; sleep 600"])
    .withEnvironment({ A: "b" })
    .withLabels({ one: "two" })
    .withUser("33")
    .withResourcesQuota({ memory: 0.05, cpu: 0.5 })
    .withTmpFs({ "/mem": "size=1m" })
    .withBindMounts([{ source: process.env.LIGHTER_FOLDER ?? "/tmp", target: "/host", mode: "ro" }])
    .withWaitStrategy(Wait.forLogMessage("up"))
    .start();
  equal((await container.exec(["sh", "-c", "echo $A; id -u; mount | grep -c ' /mem '"])).stdout, "b\n33\n1\n");
  equal(container.getLabels().one, "two");
  await container.restart();
  await container.stop();
});

test("a container that is used again is found by its hash", async () => {
  const again = () => new GenericContainer("busybox").withCommand(["sleep", "600"]).withReuse().start();
  const [first, second] = [await again(), await again()];
  equal(first.getId(), second.getId());
  await second.stop();
});

test("PostgreSQL: started, asked, snapshot and restore", async () => {
  const container = await new PostgreSqlContainer("postgres").withDatabase("things").start();
  const ask = async (sql) => {
    const client = new Client({ connectionString: container.getConnectionUri() });
    await client.connect();
    const { rows } = await client.query(sql);
    await client.end();
    return rows;
  };
  await ask("create table t as select n from generate_series(1, 1000) n");
  deepEqual(await ask("select sum(n)::int as sum from t"), [{ sum: 500500 }]);
  await container.snapshot();
  await ask("drop table t");
  await container.restoreSnapshot();
  deepEqual(await ask("select count(*)::int as count from t"), [{ count: 1000 }]);
  await container.stop();
});

test("the clean-up container removes what is left", async () => {
  const client = await getContainerRuntimeClient();
  const reaper = await getReaper(client);
  const left = await new GenericContainer("busybox").withCommand(["sleep", "600"]).start();
  const cleaner = (await client.container.dockerode.listContainers()).find(({ Image }) => Image.startsWith("testcontainers/ryuk"));
  ok(cleaner, "no clean-up container runs");
  // As when this process is gone: its one connection closes, and ryuk's time runs.
  reaper.socket.destroy();
  for (;;) {
    const containers = await client.container.dockerode.listContainers({ all: true, filters: { id: [left.getId()] } });
    if (containers.length === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const gone = await client.container.dockerode
    .getContainer(cleaner.Id)
    .wait()
    .catch(({ statusCode }) => statusCode);
  ok(gone === 404 || gone.StatusCode === 0, `the clean-up container ended with ${JSON.stringify(gone)}`);
});

await runAll();
process.exit(0);
