/** For the root tests: a daemon with one published container that waits to be killed. `bun lab-daemon.ts DATA_ROOT`; prints the container as JSON. */
import { Lab, LabDaemon } from "./lab.ts";

const [dataRoot = ""] = process.argv.slice(2);
const daemon = await LabDaemon.open(new Lab(), { dataRoot });
await daemon.networks.restore([]);
const web = await daemon.run("web", { portBindings: { "80/tcp": [{ HostPort: "8080" }] } });
const gone = await daemon.run("gone", { portBindings: { "80/tcp": [{ HostPort: "8081" }] } });
await Bun.sleep(200);
console.log(JSON.stringify({ web: { id: web.id, pid: web.pid, address: web.address }, gone: { id: gone.id, pid: gone.pid } }));
await Bun.sleep(60_000);
