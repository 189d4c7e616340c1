import { expect, test } from "bun:test";
import { HOST, OUTSIDE, sh, reach } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

labSuite("networks on a link of the host", import.meta.path, (ground) => {
  const options = { attachable: false, internal: false, enableIPv4: true, enableIPv6: false, labels: {} };
  /** Bun's `rejects` runs the event loop inside of the test and can miss a Worker's message there. */
  const refusal = async (made: Promise<unknown>): Promise<string> => {
    const outcome = await made.then(
      () => "",
      (error: unknown) => error,
    );
    return outcome instanceof Error ? outcome.message : "";
  };
  const lan = { config: [{ subnet: "203.0.113.0/24", gateway: OUTSIDE, ipRange: "203.0.113.64/26" }] };

  test("macvlan: addresses of the LAN, its gateway, names, fixed addresses and MACs, connect and disconnect", async () => {
    const { networks } = ground.daemon;
    await networks.create({ ...options, name: "lan", driver: "macvlan", options: { parent: "out0" }, ipam: lan });
    expect(networks.inspect("lan")).toMatchObject({ Driver: "macvlan", Options: { parent: "out0" } });
    const place = { MacAddress: "02:42:00:aa:bb:cc", IPAMConfig: { IPv4Address: "203.0.113.70" } };
    const fixed = await ground.daemon.run("fixed", { mode: "lan", endpoints: { lan: place } });
    const other = await ground.daemon.run("other", { mode: "lan" });
    expect(fixed.address).toBe("203.0.113.70");
    const echo = await ground.lab.echo("fixed", ["tcp:80"], fixed.namespace);
    expect(await sh(`nsenter --net=${fixed.namespace} ip -br link show eth0`)).toContain("02:42:00:aa:bb:cc");
    expect(await sh(`nsenter --net=${other.namespace} ip route`)).toContain(`default via ${OUTSIDE}`);
    expect(await reach(other.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${other.address}`);
    expect(await reach(other.namespace, "tcp", fixed.address, 80)).toBe(`fixed ${other.address}`);
    expect(await reach(ground.lab.outside, "tcp", fixed.address, 80)).toBe(`fixed ${OUTSIDE}`);
    const dig = `nsenter --net=${other.namespace} ${process.execPath} ${import.meta.dir}/lab-dig.ts udp A fixed`;
    expect(await sh(dig)).toBe(`0 ${fixed.address}`);
    expect(
      await refusal(ground.daemon.run("again", { mode: "lan", endpoints: { lan: { IPAMConfig: { IPv4Address: fixed.address } } } })),
    ).toContain("Address already in use");
    expect(await refusal(networks.remove("lan"))).toContain("has active endpoints");
    // It would keep the namespace, and the interface with it.
    echo.kill("SIGKILL");
    await echo.exited;
    await fixed.stop();
    const second = await ground.daemon.run("fixed", { containerId: fixed.id, mode: "lan", endpoints: { lan: place } });
    expect(await reach(second.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${second.address}`);
    const both = await ground.daemon.run("both");
    await networks.connect("lan", "both", {});
    expect(await sh(`nsenter --net=${both.namespace} ip -br -4 addr show eth1`)).toContain("203.0.113.");
    expect(await reach(both.namespace, "tcp", OUTSIDE, 9000)).toMatch(/^outside 203\.0\.113\./);
    await networks.disconnect("lan", "both", { force: false });
    expect(await sh(`nsenter --net=${both.namespace} ip -br link`)).not.toContain("eth1");
    expect(await reach(both.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    for (const one of [second, other, both]) await one.stop();
    await networks.remove("lan");
  });

  test("what cannot be is said when the network is made, and nothing of it stays", async () => {
    const { networks } = ground.daemon;
    const before = await sh("ip -o link | sed 's/@.*//' | cut -d: -f2 | grep -v ' lv' | sort");
    const make = (driver: string, given: Record<string, string>): Promise<unknown> =>
      networks.create({ ...options, name: "wrong", driver, options: given, ipam: {} });
    expect(await refusal(make("macvlan", { parent: "nothing0" }))).toContain(
      "invalid subinterface vlan name nothing0, example formatting is eth0.10",
    );
    expect(await refusal(make("macvlan", { parent: "nothing0.5" }))).toContain('the host has no link "nothing0"');
    expect(await refusal(make("macvlan", { parent: "out0", macvlan_mode: "odd" }))).toContain("requested macvlan mode 'odd' is not valid");
    expect(await refusal(make("ipvlan", { parent: "out0", ipvlan_flag: "odd" }))).toContain("unknown ipvlan flag: odd");
    await networks.create({
      ...options,
      name: "first",
      driver: "macvlan",
      options: { parent: "out0", macvlan_mode: "passthru" },
      ipam: {},
    });
    expect(await refusal(make("macvlan", { parent: "out0" }))).toContain("network first is already using parent interface out0");
    expect(await refusal(make("ipvlan", { parent: "out0" }))).toContain("network first is already using parent interface out0");
    await networks.remove("first");
    expect(networks.list(new Map()).map(({ Name }) => Name)).not.toContain("wrong");
    expect(await sh("ip -o link | sed 's/@.*//' | cut -d: -f2 | grep -v ' lv' | sort")).toBe(before);
  });

  test("links that the kernel has are made and go with the network; for the others there is a sentence", async () => {
    const { networks } = ground.daemon;
    const has = async (kind: string): Promise<boolean> =>
      (await sh(
        `ip link add ${kind === "dummy" ? "" : "link out0"} name probe0 type ${kind} && ip link del probe0 && echo yes || echo no`,
      )) === "yes";
    const tried = async (driver: string, given: Record<string, string>, kind: string): Promise<void> => {
      const here = await has(kind);
      const made = networks.create({ ...options, name: "tried", driver, options: given, ipam: {} });
      if (!here) {
        expect(await refusal(made)).toContain(`this kernel has no ${kind.split(" ")[0]} links`);
        return;
      }
      await made;
      const one = await ground.daemon.run("one", { mode: "tried" });
      expect(await sh(`nsenter --net=${one.namespace} ip -br -4 addr show eth0`)).toContain(one.address);
      await one.stop();
      await networks.remove("tried");
    };
    await tried("ipvlan", { parent: "out0" }, "ipvlan");
    await tried("ipvlan", { parent: "out0", ipvlan_mode: "l3" }, "ipvlan");
    await tried("macvlan", {}, "dummy");
    await tried("macvlan", { parent: "out0.7" }, "vlan id 7");
    expect(await sh("ip -br link | grep -cE '^(dm-|out0.7)' || true")).toBe("0");
  });
});
