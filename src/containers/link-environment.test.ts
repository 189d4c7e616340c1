import { expect, test } from "bun:test";
import { linkVariables } from "./link-environment.ts";

test("the variables of a link, ports in order, without the other one's HOME and PATH", () => {
  expect(
    linkVariables({
      alias: "my-db",
      name: "/web/my-db",
      address: "172.17.0.2",
      ports: ["5433/udp", "80/tcp"],
      env: ["PATH=/x", "HOME=/", "FOO=bar", "BARE"],
    }),
  ).toEqual([
    "MY_DB_PORT=tcp://172.17.0.2:80",
    "MY_DB_NAME=/web/my-db",
    "MY_DB_PORT_80_TCP=tcp://172.17.0.2:80",
    "MY_DB_PORT_80_TCP_ADDR=172.17.0.2",
    "MY_DB_PORT_80_TCP_PORT=80",
    "MY_DB_PORT_80_TCP_PROTO=tcp",
    "MY_DB_PORT_5433_UDP=udp://172.17.0.2:5433",
    "MY_DB_PORT_5433_UDP_ADDR=172.17.0.2",
    "MY_DB_PORT_5433_UDP_PORT=5433",
    "MY_DB_PORT_5433_UDP_PROTO=udp",
    "MY_DB_ENV_FOO=bar",
  ]);
});
