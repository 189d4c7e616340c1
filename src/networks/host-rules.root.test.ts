import { afterEach, expect, test } from "bun:test";
import { type LabContainer, HOST, OUTSIDE, ask, sh } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

labSuite("the host's firewall", import.meta.path, (ground) => {
  let web: LabContainer | undefined;
  let count = 0;
  const fromOutside = (port = 8080): Promise<string> => ask(ground.lab.outside, "tcp", HOST, port);
  const reached = `web ${OUTSIDE}`;

  /** A container with a server behind each port. */
  async function start(...ports: string[]): Promise<void> {
    const portBindings = Object.fromEntries(ports.map((port, index) => [`${80 + index}/tcp`, [{ HostPort: port }]]));
    web = await ground.daemon.run(`web${++count}`, { portBindings });
    const servers = ports.map((_, index) => `tcp:${80 + index}`);
    await ground.lab.echo("web", servers, web.namespace);
  }

  /** Waits until the outside gets an answer, or none. */
  async function becomes(answer: string, port = 8080): Promise<void> {
    let last = "";
    for (let tries = 0; tries < 20; tries++) if ((last = await fromOutside(port)) === answer) return;
    expect(last).toBe(answer);
  }

  afterEach(async () => {
    await web?.stop();
    web = undefined;
    await sh("nft list tables | grep -v lighter | while read -r line; do nft delete $line; done");
  });

  test("what a policy forbids stays closed, until a rule opens it, and again without the rule", async () => {
    await sh(
      "nft 'table inet mine { chain in { type filter hook input priority 0; policy drop; ct state established,related accept; iifname lo accept; }; }'",
    );
    await start("8080");
    await becomes("nothing");
    expect(await ask(undefined, "tcp", HOST, 8080)).toStartWith("web ");
    expect(await ask(undefined, "tcp", "127.0.0.1", 8080)).toStartWith("web ");
    await sh("nft add rule inet mine in tcp dport 8080 accept");
    await becomes(reached);
    await sh("nft flush chain inet mine in");
    await becomes("nothing");
  });

  test("our tables come back", async () => {
    await start("8080");
    await becomes(reached);
    await sh("nft flush ruleset");
    await becomes(reached);
    await sh("nft delete table inet lighter");
    await becomes(reached);
  });
});
