import { expect, test } from "bun:test";
import { HOST, LabDaemon, OUTSIDE, ask, sh, until, PLAIN } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

labSuite("forward chains of others", import.meta.path, (ground) => {
  test("a table that belongs to its program alone, as firewalld's since 2.1: its rules are obeyed, and what opens its forward chain is told", async () => {
    const owner = ground.lab.spawn(["nft", "-i"], { stdin: "pipe" });
    const say = async (line: string): Promise<void> => {
      await (owner.stdin as Bun.FileSink).write(`${line}\n`);
      await (owner.stdin as Bun.FileSink).flush();
    };
    const known = "ct state { established, related } accept";
    const last = "reject with icmpx type admin-prohibited";
    await say(
      `add table inet firewalld { flags owner; chain filter_INPUT { type filter hook input priority filter + 10; ${known}; iifname lo accept; tcp dport 8090 accept; ${last}; }; \
chain filter_FORWARD { type filter hook forward priority filter + 10; ${known}; ct status dnat accept; ${last}; }; }`.replace("\\\n", ""),
    );
    await until(async () => (await sh("nft list table inet firewalld || true")).includes("filter_FORWARD"));
    const portBindings = { "80/tcp": [{ HostPort: "8090" }], "81/tcp": [{ HostPort: "8091" }] };
    const web = await ground.daemon.run("owned", { portBindings });
    await ground.lab.echo("owned", ["tcp:80", "tcp:81"], web.namespace);
    const becomes = (port: number, answer: string): Promise<void> =>
      until(async () => (await ask(ground.lab.outside, "tcp", HOST, port)) === answer);
    await becomes(8090, `owned ${OUTSIDE}`);
    await becomes(8091, "nothing");
    await say("insert rule inet firewalld filter_INPUT tcp dport 8091 accept");
    await becomes(8091, `owned ${OUTSIDE}`);
    const { warning } = await ground.daemon.networks.create({ ...PLAIN, name: "owned" });
    expect(warning).toContain(
      'are dropped by chain "inet firewalld filter_FORWARD" (last rule drops), which is not ours: open it with: firewall-cmd',
    );
    expect(await sh("nft list ruleset")).not.toContain("lighter: containers of Lighter");
    await (owner.stdin as Bun.FileSink).end();
    await owner.exited;
    await becomes(8090, `owned ${OUTSIDE}`);
    await ground.daemon.networks.remove("owned");
    await web.stop();
  });

  test("what drops there is opened in the place that its owner keeps, again after a reload, and left at the end", async () => {
    const web = await ground.daemon.run("web", { portBindings: { "80/tcp": [{ HostPort: "8080" }] } });
    await ground.lab.echo("web", ["tcp:80"], web.namespace);
    const reached = async (answer: string): Promise<void> => {
      await until(async () => (await ask(ground.lab.outside, "tcp", HOST, 8080)) === answer);
      await until(async () => (await ask(web.namespace, "tcp", OUTSIDE, 9000)) === (answer === "nothing" ? answer : `outside ${HOST}`));
    };
    // Rules of ours may come into a chain between the two.
    const gone = (): Promise<void> => until(async () => (await sh("iptables -F && iptables -X && echo gone || true")) === "gone");
    await reached(`web ${OUTSIDE}`);
    await sh("iptables -P FORWARD DROP");
    await reached("nothing");
    for (const chain of ["ufw-user-forward", "DOCKER-USER"]) {
      const build = `iptables -N ${chain}; iptables -A ${chain} -j RETURN; iptables -A FORWARD -j ${chain}`;
      await sh(build);
      await reached(`web ${OUTSIDE}`);
      expect(await sh(`iptables -S ${chain}`)).toContain("-m devgroup --dst-group");
      await gone();
      await sh(build);
      await until(async () => (await sh("nft list ruleset")).split("lighter: containers of Lighter").length === 3);
      await reached(`web ${OUTSIDE}`);
      await gone();
      await reached("nothing");
    }
    await sh("iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER");
    await reached(`web ${OUTSIDE}`);
    await sh("nft 'table inet strict { chain through { type filter hook forward priority 0; policy drop; }; }'");
    const { warning } = await ground.daemon.networks.create({ ...PLAIN, name: "strict" });
    expect(warning).toContain('are dropped by chain "inet strict through" (policy drop), which is not ours: open it with: nft insert rule');
    await web.stop();
    const { dataRoot } = ground.daemon.options;
    await ground.daemon.close();
    expect(await sh("iptables -S DOCKER-USER")).toBe("-N DOCKER-USER");
    ground.daemon = await LabDaemon.open(ground.lab, { dataRoot });
  });
});
