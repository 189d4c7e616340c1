import { expect, test } from "bun:test";
import { relink } from "./link-hosts.ts";

const HOSTS = "127.0.0.1\tlocalhost\n172.17.0.2\tdb 0123456789ab one\n172.17.0.2\tdb2 0123456789ab one\n172.17.0.3\tweb\n";

test("a link's line in a hosts file is replaced where it stands, and no other", () => {
  expect(relink(HOSTS, "db 0123456789ab one", "172.17.0.9\tdb 0123456789ab two")).toBe(
    "127.0.0.1\tlocalhost\n172.17.0.9\tdb 0123456789ab two\n172.17.0.2\tdb2 0123456789ab one\n172.17.0.3\tweb\n",
  );
});

test("a link's line goes, and nothing happens to a file that has none", () => {
  expect(relink(HOSTS, "db2 0123456789ab one", undefined)).toBe("127.0.0.1\tlocalhost\n172.17.0.2\tdb 0123456789ab one\n172.17.0.3\tweb\n");
  expect(relink(HOSTS, "db 0123456789ab", "1.2.3.4\tx")).toBe(HOSTS);
});
