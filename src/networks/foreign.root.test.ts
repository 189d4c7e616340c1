import { expect, test } from "bun:test";
import { HOST, LabDaemon, OUTSIDE, ask, sh, until, PLAIN } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

labSuite("forward chains of others", import.meta.path, (ground) => {
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
