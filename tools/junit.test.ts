import { expect, test } from "bun:test";
import { countsOf } from "./junit.ts";

test("passed, failed and skipped tests are told apart and named", () => {
  const xml = `<?xml version="1.0"?>
<testsuites name="bun test" tests="5">
  <testsuite name="a.test.ts">
    <testcase name="plain" classname="" time="0.1" file="a.test.ts" />
    <testcase name="&quot;a &lt; b&quot; &amp; more" classname="group" time="0.1" file="a.test.ts">
      <failure type="AssertionError" />
    </testcase>
    <testcase name="broken" classname="" file="a.test.ts"><error>x</error></testcase>
    <testcase name="later" classname="group" file="a.test.ts">
      <skipped />
    </testcase>
    <testcase name="last" classname="group" time="0" file="a.test.ts" />
  </testsuite>
</testsuites>`;
  expect(countsOf(xml)).toEqual({
    passed: 2,
    failed: ['group > "a < b" & more', "broken"],
    skipped: ["group > later"],
    files: ["a.test.ts"],
  });
});

test("no report counts nothing", () => {
  expect(countsOf("")).toEqual({ passed: 0, failed: [], skipped: [], files: [] });
});
