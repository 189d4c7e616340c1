import { expect, test } from "bun:test";
import { openRoute } from "../linux/netlink-route.ts";
import { sh } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";
import { ensureBridge } from "./links.ts";

labSuite("bridges and who is on them", import.meta.path, () => {
  const groupOf = async (name: string): Promise<string> => / group (\S+)/.exec(await sh(`ip -o link show ${name}`))?.[1] ?? "";
  const shape = (name: string, address: string): Parameters<typeof ensureBridge>[1] => ({ name, mtu: 1500, addresses: [address] });

  test("what comes from somebody's bridge with a card of the host on it is from outside", async () => {
    const route = openRoute();
    await sh("ip link add card0 type veth peer name wire0; ip link add br0 type bridge; ip link set card0 master br0 up");
    expect(ensureBridge(route, shape("br0", "198.51.100.1/24"))).toEqual({ adopted: true, outsiders: ["card0"] });
    expect(await groupOf("br0")).toBe("default");
    await sh("ip link set card0 nomaster");
    expect(ensureBridge(route, shape("br0", "198.51.100.1/24"))).toEqual({ adopted: true, outsiders: [] });
    expect(await groupOf("br0")).not.toBe("default");
    // A card that came later is found by the next start.
    await sh("ip link set card0 master br0");
    ensureBridge(route, shape("br0", "198.51.100.1/24"));
    expect(await groupOf("br0")).toBe("default");
    await sh("ip link del br0");
    // On bridges of ours others may stand like containers: a virtual machine's link.
    expect(ensureBridge(route, shape("br1", "198.51.100.1/24"))).toEqual({ adopted: false, outsiders: [] });
    await sh("ip link set card0 master br1");
    expect(ensureBridge(route, shape("br1", "198.51.100.1/24"))).toEqual({ adopted: true, outsiders: [] });
    expect(await groupOf("br1")).not.toBe("default");
    await sh("ip link del br1; ip link del card0");
    route.close();
  });
});
