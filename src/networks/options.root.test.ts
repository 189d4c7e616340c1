import { expect, test } from "bun:test";
import { HOST, LabDaemon, OUTSIDE, ask, ruleset, sh, until, PLAIN, reach } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

labSuite("options of networks and of places in them", import.meta.path, (ground) => {
  const bridge = (name: string): string => `com.docker.network.bridge.${name}`;
  const inside = (one: { namespace: string }, command: string): Promise<string> => sh(`nsenter --net=${one.namespace} ${command}`);
  const refusal = async (made: Promise<unknown>): Promise<string> => {
    const outcome = await made.then(
      () => "",
      (error: unknown) => error,
    );
    return outcome instanceof Error ? outcome.message : "";
  };
  /** The outside knows the way to a subnet, as a router beside the host would. */
  const routed = async (subnet: string): Promise<void> =>
    void (await sh(`nsenter --net=${ground.lab.outside} ip route replace ${subnet} via ${HOST}`));

  test("interfaces: names, settings, order, and the gateway of the highest priority", async () => {
    const { networks } = ground.daemon;
    for (const [name, subnet] of [
      ["red", "10.61.0.0/24"],
      ["blue", "10.62.0.0/24"],
    ] as const)
      await networks.create({ ...PLAIN, name, ipam: { config: [{ subnet }] } });
    const options = (ifname: string, sysctls = ""): { DriverOpts: Record<string, string> } => ({
      DriverOpts: {
        "com.docker.network.endpoint.ifname": ifname,
        ...(sysctls === "" ? {} : { "com.docker.network.endpoint.sysctls": sysctls }),
      },
    });
    const one = await ground.daemon.run("named", {
      mode: "red",
      endpoints: {
        red: options("wan", "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.rp_filter=2"),
        blue: { GwPriority: 7, IPAMConfig: { LinkLocalIPs: ["169.254.7.7"] } },
      },
    });
    const addresses = await inside(one, "ip -br -4 addr");
    expect(
      addresses
        .replaceAll(/@\S+/g, "")
        .split("\n")
        .map((line) => line.trim().split(/ +/).toSpliced(1, 1).join(" "))
        .sort(),
    ).toEqual(["eth0 10.62.0.2/24 169.254.7.7/16", "lo 127.0.0.1/8", "wan 10.61.0.2/24"]);
    expect(await inside(one, "ip route show default")).toContain("default via 10.62.0.1 dev eth0");
    expect(await inside(one, "sysctl -n net.ipv4.conf.wan.log_martians net.ipv4.conf.wan.rp_filter")).toBe("1\n2");
    await networks.connect("bridge", one.id, options("extra0", "net.ipv4.conf.IFNAME.log_martians=1"));
    expect(await inside(one, "sysctl -n net.ipv4.conf.extra0.log_martians")).toBe("1");
    await networks.disconnect("blue", one.id, { force: false });
    expect(await inside(one, "ip route show default")).not.toContain("10.62");
    expect(await refusal(networks.connect("blue", one.id, options("wan")))).toContain('interface name "wan" is in use in the container');
    expect(await refusal(networks.connect("blue", one.id, options("lo")))).toContain('invalid interface name "lo"');
    expect(await refusal(networks.connect("blue", one.id, options("x", "net.ipv4.conf.IFNAME.no_such=1")))).toContain("no_such");
    expect(await inside(one, "ip -br link show x 2>&1 || true")).toContain("does not exist");
    await one.stop();
    for (const name of ["red", "blue"]) await networks.remove(name);
  });

  test("masquerade off, and what may reach containers at their own addresses", async () => {
    const { networks } = ground.daemon;
    const make = async (name: string, subnet: string, options: Record<string, string>) => {
      await networks.create({ ...PLAIN, name, options, ipam: { config: [{ subnet }] } });
      await routed(subnet);
      const one = await ground.daemon.run(`${name}-one`, { mode: name });
      await ground.lab.echo(name, ["tcp:80"], one.namespace);
      return one;
    };
    const shut = await make("shut", "10.63.0.0/24", { [bridge("enable_ip_masquerade")]: "false" });
    const trusting = await make("trusting", "10.64.0.0/24", { [bridge("trusted_host_interfaces")]: "lo:out0" });
    const open = await make("open", "10.65.0.0/24", { [bridge("gateway_mode_ipv4")]: "nat-unprotected" });
    expect(await reach(shut.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${shut.address}`);
    expect(await reach(open.namespace, "tcp", OUTSIDE, 9000)).toBe(`outside ${HOST}`);
    expect(await ask(ground.lab.outside, "tcp", shut.address, 80)).toBe("nothing");
    expect(await reach(ground.lab.outside, "tcp", trusting.address, 80)).toBe(`trusting ${OUTSIDE}`);
    expect(await reach(ground.lab.outside, "tcp", open.address, 80)).toBe(`open ${OUTSIDE}`);
    expect(await ask(shut.namespace, "tcp", trusting.address, 80)).toBe("nothing");
    for (const one of [shut, trusting, open]) await one.stop();
    for (const name of ["shut", "trusting", "open"]) await networks.remove(name);
    expect(await ruleset()).not.toContain("10.6");
  });

  test("a bridge without an address: isolated, and inhibit_ipv4", async () => {
    const { networks } = ground.daemon;
    const { id } = await networks.create({
      ...PLAIN,
      name: "alone",
      internal: true,
      options: { [bridge("gateway_mode_ipv4")]: "isolated" },
    });
    await networks.create({ ...PLAIN, name: "bare", options: { [bridge("inhibit_ipv4")]: "true", [bridge("name")]: "bare0" } });
    expect(await sh(`ip -4 -br addr show br-${id.slice(0, 12)}; ip -4 -br addr show bare0`)).toBe("");
    const [a, b] = [await ground.daemon.run("a", { mode: "alone" }), await ground.daemon.run("b", { mode: "alone" })];
    await ground.lab.echo("a", ["tcp:80"], a.namespace);
    expect(await reach(b.namespace, "tcp", a.address, 80)).toBe(`a ${b.address}`);
    expect(await ask(undefined, "tcp", a.address, 80)).toBe("nothing");
    for (const one of [a, b]) await one.stop();
    for (const name of ["alone", "bare"]) await networks.remove(name);
  });

  test("IPv6 alone", async () => {
    const { networks } = ground.daemon;
    await sh(
      `ip -6 addr add 2001:db8::1/64 dev out0 nodad; nsenter --net=${ground.lab.outside} ip -6 addr add 2001:db8::2/64 dev in0 nodad`,
    );
    await networks.create({ ...PLAIN, name: "six", enableIPv4: false, enableIPv6: true });
    expect(networks.inspect("six")).toMatchObject({
      EnableIPv4: false,
      EnableIPv6: true,
      IPAM: { Config: [{ Subnet: expect.stringMatching(/^fd.*\/64$/) }] },
    });
    const [a, b] = [await ground.daemon.run("a6", { mode: "six" }), await ground.daemon.run("b6", { mode: "six" })];
    const settings = ground.daemon.networks.settings(ground.daemon.state, a.id).networks["six"];
    expect(settings).toMatchObject({ IPAddress: "", Gateway: "", IPPrefixLen: 0, GlobalIPv6PrefixLen: 64 });
    await ground.lab.echo("a6", ["tcp:80"], a.namespace);
    await ground.lab.echo("out6", ["tcp:9006"], ground.lab.outside);
    expect(await inside(a, "ip -4 -br addr show eth0")).not.toContain(".");
    expect(await reach(b.namespace, "tcp", settings?.GlobalIPv6Address ?? "", 80)).toStartWith("a6 fd");
    expect(await reach(b.namespace, "tcp", "2001:db8::2", 9006)).toBe("out6 2001:db8::1");
    for (const one of [a, b]) await one.stop();
    await networks.remove("six");
  });

  test("the MTU is that of the way out, a network's own where it names one, and what is too long for the way is told by ICMP", async () => {
    await sh(`ip link set out0 mtu 1400; nsenter --net=${ground.lab.outside} ip link set in0 mtu 1400`);
    const { dataRoot } = ground.daemon.options;
    await ground.daemon.close();
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
    await ground.daemon.networks.restore([]);
    const { networks } = ground.daemon;
    await networks.create({ ...PLAIN, name: "narrow", options: { "com.docker.network.driver.mtu": "1300" } });
    await networks.create({ ...PLAIN, name: "wide", options: { "com.docker.network.driver.mtu": "1500" } });
    const [usual, narrow, wide] = [
      await ground.daemon.run("usual"),
      await ground.daemon.run("narrow", { mode: "narrow" }),
      await ground.daemon.run("wide", { mode: "wide" }),
    ];
    const mtu = async (one: { namespace: string }): Promise<string | undefined> =>
      /mtu (\d+)/.exec(await inside(one, "ip link show eth0"))?.[1];
    expect(await Promise.all([usual, narrow, wide].map(mtu))).toEqual(["1400", "1300", "1500"]);
    // What may not be cut is too long for the host's way out; the host says so, and the container keeps it in mind.
    await until(async () => {
      await inside(wide, `bash -c 'head -c 1460 /dev/zero > /dev/udp/${OUTSIDE}/9000' 2>/dev/null || true`);
      return (await inside(wide, `ip route get ${OUTSIDE}`)).includes("mtu 1400");
    });
    for (const one of [usual, narrow, wide]) await one.stop();
    for (const name of ["narrow", "wide"]) await networks.remove(name);
  });

  test("a bridge that somebody removes is made again, with the containers on it", async () => {
    const { networks } = ground.daemon;
    await networks.create({ ...PLAIN, name: "hit", options: { [bridge("name")]: "hit0" } });
    const [a, b, other] = [
      await ground.daemon.run("hit-a", { mode: "hit" }),
      await ground.daemon.run("hit-b", { mode: "hit" }),
      await ground.daemon.run("hit-c"),
    ];
    await ground.lab.echo("a", ["tcp:80"], a.namespace);
    for (const name of ["hit0", "lighter0"]) {
      await sh(`ip link del ${name}`);
      await until(async () => (await sh(`ip -4 -br addr show ${name} 2>/dev/null || true`)).includes("/"));
    }
    await until(async () => (await ask(b.namespace, "tcp", a.address, 80)) === `a ${b.address}`);
    await until(async () => (await ask(other.namespace, "tcp", OUTSIDE, 9000)) === `outside ${HOST}`);
    const late = await ground.daemon.run("late");
    await until(async () => (await ask(late.namespace, "tcp", OUTSIDE, 9000)) === `outside ${HOST}`);
    for (const one of [a, b, other, late]) await one.stop();
    await networks.remove("hit");
    expect(await sh("ip -br link show hit0 2>&1 || true")).toContain("does not exist");
  });

  test("containers that may not talk to each other may not after their bridge was made again", async () => {
    const { networks } = ground.daemon;
    await networks.create({ ...PLAIN, name: "mute", options: { [bridge("name")]: "mute0", [bridge("enable_icc")]: "false" } });
    const [a, b] = [await ground.daemon.run("mute-a", { mode: "mute" }), await ground.daemon.run("mute-b", { mode: "mute" })];
    const ports = (): Promise<string> => sh("bridge -d link show | grep -A1 'master mute0' | grep -o 'isolated o[nf]*' | xargs");
    expect(await ports()).toBe("isolated on isolated on");
    await sh("ip link del mute0");
    await until(async () => (await ports()).split("isolated").length === 3);
    await until(async () => (await ports()) === "isolated on isolated on");
    for (const one of [a, b]) await one.stop();
    await networks.remove("mute");
  });

  test("a container that leaves its networks and joins them at once, again and again, has them in the end, and its port answers", async () => {
    const { networks } = ground.daemon;
    for (const name of ["ring", "rung"]) await networks.create({ ...PLAIN, name });
    const portBindings = { "80/tcp": [{ HostIp: "", HostPort: "8099" }] };
    const web = await ground.daemon.run("restless", { mode: "ring", portBindings });
    await networks.connect("rung", web.id, {});
    await ground.lab.echo("web", ["tcp:80"], web.namespace);
    for (let round = 0; round < 8; round++) {
      const leaving = ["ring", "rung"].map((name) => networks.disconnect(name, web.id, { force: false }));
      const joining = round % 2 === 0 ? ["rung", "ring"] : ["ring", "rung"];
      await Promise.all([...leaving, ...joining.map((name) => networks.connect(name, "restless", {}))]);
    }
    expect(await inside(web, "ip -br -4 addr | grep -c eth")).toBe("2");
    await until(async () => (await ask(ground.lab.outside, "tcp", HOST, 8099)) === `web ${OUTSIDE}`);
    await web.stop();
    for (const name of ["ring", "rung"]) await networks.remove(name);
  });

  test("a configuration alone, and networks made from it", async () => {
    const { networks } = ground.daemon;
    const config = {
      options: { "com.docker.network.driver.mtu": "1280" },
      labels: { a: "b" },
      ipam: { config: [{ subnet: "10.66.0.0/24" }] },
    };
    await networks.create({ ...PLAIN, ...config, name: "conf", configOnly: true });
    expect(networks.inspect("conf")).toMatchObject({
      Driver: "null",
      ConfigOnly: true,
      Labels: { a: "b" },
      IPAM: { Config: [{ Subnet: "10.66.0.0/24" }] },
    });
    expect(await refusal(ground.daemon.run("lost", { mode: "conf" }))).toContain("cannot create endpoint on configuration-only network");
    await networks.create({ ...PLAIN, name: "from", configFrom: "conf" });
    expect(networks.inspect("from")).toMatchObject({ ConfigFrom: { Network: "conf" }, Options: config.options, Labels: { a: "b" } });
    const one = await ground.daemon.run("from-one", { mode: "from" });
    expect(one.address).toBe("10.66.0.2");
    await one.stop();
    expect(await refusal(networks.remove("conf"))).toBe('error while removing network: configuration network "conf" is in use');
    expect(await refusal(networks.create({ ...PLAIN, name: "more", configFrom: "conf", labels: { x: "y" } }))).toContain(
      "labels are not supported",
    );
    expect(await refusal(networks.create({ ...PLAIN, name: "more", configFrom: "from" }))).toBe(
      'configuration network "from" does not exist',
    );
    expect(await networks.prune(new Map())).toEqual(["from"]);
    await networks.remove("conf");
  });

  test.each([
    [{ [bridge("enable_icc")]: "maybe" }, 'strconv.ParseBool: parsing "maybe": invalid syntax'],
    [{ "com.docker.network.driver.mtu": "abc" }, 'strconv.Atoi: parsing "abc": invalid syntax'],
    [{ "com.docker.network.driver.mtu": "20" }, "invalid MTU 20: a bridge takes 68 to 65535 bytes"],
    [{ [bridge("host_binding_ipv4")]: "nope" }, "value: nope (nil ip)"],
    [{ [bridge("name")]: "name with space" }, "invalid bridge name"],
    [{ [bridge("name")]: "much-too-long-for-a-link" }, "at most 15 characters"],
    [{ [bridge("name")]: "out0" }, 'bridge name "out0" is in use by another link of the host'],
    [{ [bridge("gateway_mode_ipv4")]: "open" }, "unknown gateway mode open"],
    [{ [bridge("gateway_mode_ipv4")]: "isolated" }, "can only be used for an internal network"],
    [{ "com.docker.network.container_iface_prefix": "a/b" }, "container_iface_prefix"],
  ])("options %j are refused, and nothing stays", async (options, text) => {
    const before = await sh("ip -o link show type bridge | wc -l");
    expect(await refusal(ground.daemon.networks.create({ ...PLAIN, name: "wrong", options }))).toContain(text);
    expect(ground.daemon.networks.list(new Map()).map(({ Name }) => Name)).not.toContain("wrong");
    expect(await sh("ip -o link show type bridge | wc -l")).toBe(before);
  });
});
