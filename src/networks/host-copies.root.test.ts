import { afterEach, beforeEach, expect, test } from "bun:test";
import { libc } from "../linux/libc.ts";
import { NETLINK_NETFILTER, Netlink, type NetlinkAnswer, type NetlinkMessage } from "../linux/netlink.ts";
import type { FirewallModel, PortRule } from "./firewall.ts";
import { HostRules } from "./host-rules.ts";
import { sh } from "./lab.ts";
import { labSuite } from "./lab-suite.ts";

const OWN = "trial";
const DUMP = 0x300;
const ENOMEM = 12;

/** A socket to the kernel that has no memory for some of what it is asked. */
class PoorSocket extends Netlink {
  refuses: (messages: readonly NetlinkMessage[]) => boolean = () => false;
  refused = 0;

  override exchange(messages: readonly NetlinkMessage[]): NetlinkAnswer[] {
    if (!this.refuses(messages)) return super.exchange(messages);
    this.refused++;
    return messages.map(() => ({ errno: ENOMEM, text: "", replies: [] }));
  }
}

labSuite("copies of the host's rules", import.meta.path, () => {
  let socket: PoorSocket;
  let rules: HostRules;
  let listener = -1;

  function port(hostPort: number, wishes: Partial<PortRule> = {}): PortRule {
    return { protocol: "tcp", hostAddress: "0.0.0.0", hostPort, address: "192.0.2.80", port: 80, ...wishes };
  }

  function model(...ports: PortRule[]): FirewallModel {
    return { networks: [], ports, reach: "firewall" };
  }

  /** The copy of the host's table. */
  function copy(): Promise<string> {
    return sh(`nft list table inet ${OWN}.mine || true`);
  }

  beforeEach(() => {
    socket = new PoorSocket(NETLINK_NETFILTER);
    rules = new HostRules(socket);
    listener = rules.listen();
  });

  afterEach(async () => {
    socket.refuses = () => false;
    rules.drop(OWN);
    socket.close();
    libc().close(listener);
    await sh("nft delete table inet mine || true");
  });

  test("what could not be copied is copied by the next look, and judged as it stands until then", async () => {
    await sh("nft 'table inet mine { chain in { type filter hook input priority 0; }; }'");
    rules.write(OWN, model(port(8080)));
    await sh("nft add rule inet mine in tcp dport 8080 drop");
    socket.refuses = (messages) => messages.length > 2;
    expect(() => rules.look(listener)).toThrow("refuses the table");
    expect(socket.refused).toBeGreaterThan(0);
    expect(rules.judge([port(8080)])).toMatchObject([{ reach: "open" }]);
    socket.refuses = () => false;
    rules.look(listener);
    expect(await copy()).toContain("tcp dport 8080 drop");
    expect(rules.judge([port(8080)])).toMatchObject([{ reach: "closed" }]);
  });

  test("a set that cannot be read does not pass for an empty one", async () => {
    await sh(
      "nft 'table inet mine { set foes { type ipv4_addr; }; chain in { type filter hook input priority 0; ip saddr @foes drop; }; }'",
    );
    rules.write(OWN, model(port(8080)));
    await sh("nft 'add element inet mine foes { 203.0.113.2 }'");
    const GET_ELEMENTS = 13;
    socket.refuses = ([first]) => first !== undefined && (first.type & 0xff) === GET_ELEMENTS && (first.flags & DUMP) === DUMP;
    expect(() => rules.look(listener)).toThrow("read the host's rules");
    socket.refuses = () => false;
    rules.look(listener);
    expect(await copy()).toContain("203.0.113.2");
  });
});
