import { expect, test } from "bun:test";
import { messageOf } from "../base/errors.ts";
import { freeRange } from "./remap-user.ts";
import { remapOf } from "./user-maps.ts";

const ACCOUNTS = {
  passwd: "root:x:0:0::/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n# none\nbob:x:1002:1002::/:/bin/sh\n",
  group: "root:x:0:\nann:x:1000:\nstaff:x:50:ann\nbob:x:1002:\n",
  subuid: "ann:200000:1000\nann:100000:65536\nbob:nonsense\n1002:300000:10\n",
  subgid: "ann:100000:65536\nstaff:400000:20\n50:500000:5\n",
};

function failure(spec: string): string {
  try {
    remapOf(spec, ACCOUNTS);
    return "";
  } catch (error) {
    return messageOf(error);
  }
}

test("the lines of a user follow one another, in the order of the host's numbers", () => {
  const uid = [
    { containerID: 0, hostID: 100000, size: 65536 },
    { containerID: 65536, hostID: 200000, size: 1000 },
  ];
  for (const spec of ["ann", "1000", "ann:ann"]) expect(remapOf(spec, ACCOUNTS)).toEqual({ uid, gid: uid.slice(0, 1) });
});

test("a group has its own numbers, by name or number, else those of the user", () => {
  const gid = [
    { containerID: 0, hostID: 400000, size: 20 },
    { containerID: 20, hostID: 500000, size: 5 },
  ];
  for (const spec of ["ann:staff", "1000:50"]) expect(remapOf(spec, ACCOUNTS)?.gid).toEqual(gid);
  expect(remapOf("ann:bob", ACCOUNTS)?.gid).toEqual([{ containerID: 0, hostID: 100000, size: 65536 }]);
});

test("root stays root, and what cannot be is refused by a sentence", () => {
  expect(remapOf("root", ACCOUNTS)).toBe(undefined);
  expect(failure("eve")).toBe('Cannot use "userns-remap": "eve": there is no user "eve" in /etc/passwd');
  expect(failure("ann:eve")).toContain('there is no group "eve" in /etc/group');
  expect(failure("bob")).toContain('/etc/subgid gives "bob" no numbers');
  expect(failure("0:bob:x")).toContain("it is default, USER, USER:GROUP, UID or UID:GID");
  expect(failure(":ann")).toContain("it is default, USER, USER:GROUP, UID or UID:GID");
});

test("a new user gets numbers that nobody has", () => {
  expect(freeRange([])).toBe(100_000);
  expect(freeRange([{ first: 100_000, count: 65536 }])).toBe(165_536);
  expect(
    freeRange([
      { first: 231_072, count: 10 },
      { first: 90_000, count: 20_000 },
    ]),
  ).toBe(110_000);
  expect(
    freeRange([
      { first: 120_000, count: 10 },
      { first: 110_000, count: 10 },
    ]),
  ).toBe(120_010);
});
