import { expect, test } from "bun:test";
import { applyChanges } from "./changes.ts";

test("commands in both forms", () => {
  expect(applyChanges({}, ["CMD echo hi", 'ENTRYPOINT ["/bin/a", "-b"]'])).toEqual({
    Cmd: ["/bin/sh", "-c", "echo hi"],
    Entrypoint: ["/bin/a", "-b"],
  });
  expect(applyChanges({ Shell: ["/bin/bash", "-c"] }, ["cmd x"]).Cmd).toEqual(["/bin/bash", "-c", "x"]);
  expect(applyChanges({ Cmd: ["old"] }, ['ENTRYPOINT ["e"]'])).toEqual({ Entrypoint: ["e"] });
  expect(applyChanges({}, ["CMD"]).Cmd).toEqual(["/bin/sh", "-c"]);
});

test("variables and labels: quotes, blanks, the old form, replacement", () => {
  expect(applyChanges({ Env: ["A=0", "B=1"] }, ["ENV A=1 C='x y' D=a\\ b", "ENV OLD some words"]).Env).toEqual([
    "A=1",
    "B=1",
    "C=x y",
    "D=a b",
    "OLD=some words",
  ]);
  expect(applyChanges({ Env: ["A=b"] }, ["ENV A=$A-x"]).Env).toEqual(["A=b-x"]);
  expect(applyChanges({ Labels: { a: "1" } }, ['LABEL "b.c"="d e" a=2']).Labels).toEqual({ a: "2", "b.c": "d e" });
});

test("ports, volumes, directories, user, signal, trigger", () => {
  const changed = applyChanges({ WorkingDir: "/srv" }, [
    "EXPOSE 80 53/udp 8000-8001",
    'VOLUME ["/a", "/b c"]',
    "VOLUME /c",
    "WORKDIR app",
    "USER 1:2",
    "STOPSIGNAL SIGQUIT",
    "ONBUILD RUN x",
  ]);
  expect(changed).toEqual({
    ExposedPorts: { "80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {} },
    Volumes: { "/a": {}, "/b c": {}, "/c": {} },
    WorkingDir: "/srv/app",
    User: "1:2",
    StopSignal: "SIGQUIT",
    OnBuild: ["RUN x"],
  });
});

test("health checks", () => {
  expect(applyChanges({}, ["HEALTHCHECK --interval=30s --retries=3 CMD curl -f x"]).Healthcheck).toEqual({
    Interval: 30e9,
    Retries: 3,
    Test: ["CMD-SHELL", "curl -f x"],
  });
  expect(applyChanges({}, ['HEALTHCHECK CMD ["a"]']).Healthcheck).toEqual({ Test: ["CMD", "a"] });
  expect(applyChanges({}, ["HEALTHCHECK NONE"]).Healthcheck).toEqual({ Test: ["NONE"] });
});

test.each([
  "STOPSIGNAL SIGNOPE",
  "",
  "# nothing",
  "RUN x",
  "FROM y",
  "ENV",
  "LABEL a",
  "EXPOSE 99999",
  "USER",
  "HEALTHCHECK MAYBE",
  "HEALTHCHECK --often=1s CMD x",
  'SHELL ["a"]',
  "ONBUILD FROM x",
  "VOLUME []",
])("%s is refused", (line) => {
  expect(() => applyChanges({}, [line])).toThrow();
});

test("the original stays as it is", () => {
  const original = { Labels: { a: "1" }, Env: ["A=1"] };
  applyChanges(original, ["LABEL a=2", "ENV A=2"]);
  expect(original).toEqual({ Labels: { a: "1" }, Env: ["A=1"] });
});
