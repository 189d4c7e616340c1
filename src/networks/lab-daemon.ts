/**
 * For the root tests: a daemon that waits to be killed. `bun lab-daemon.ts DATA_ROOT` starts two published containers and prints them as JSON;
 * with `churn` it makes and removes networks and containers without an end.
 */
import { Lab, LabDaemon, PLAIN } from "./lab.ts";

const [dataRoot = "", mode = ""] = process.argv.slice(2);
const daemon = await LabDaemon.open(new Lab(), { dataRoot });
await daemon.networks.restore([]);
if (mode === "churn") await churn();
const web = await daemon.run("web", { portBindings: { "80/tcp": [{ HostPort: "8080" }] } });
const gone = await daemon.run("gone", { portBindings: { "80/tcp": [{ HostPort: "8081" }] } });
await Bun.sleep(200);
console.log(JSON.stringify({ web: { id: web.id, pid: web.pid, address: web.address }, gone: { id: gone.id, pid: gone.pid } }));
await Bun.sleep(60_000);

async function churn(): Promise<void> {
  console.log("churning");
  for (let round = 0; ; round++) {
    const name = `n${process.pid}-${round}`;
    await daemon.networks.create({ ...PLAIN, name });
    const portBindings = { "80/tcp": [{ HostPort: "" }] };
    const some = await Promise.all(["default", name, "none"].map((mode) => daemon.run(`c-${name}-${mode}`, { mode, portBindings })));
    await Promise.all(some.map((one) => one.stop()));
    await daemon.networks.remove(name);
  }
}
