import { expect, test } from "bun:test";
import { goField } from "./go-field.ts";
import { compileTemplate } from "./template.ts";

const DATA = {
  Name: "/web",
  Pid: 42,
  Running: true,
  Empty: "",
  None: null,
  List: ["a", "b", "c"],
  Map: { k2: "v2", k1: "v1" },
  Deep: { Er: { Est: "x" } },
  Big: 1_795_385_803_867_395_996n,
  Ports: { "80/tcp": [{ HostPort: "8080" }] },
  Label: (name: unknown) => `<${String(name)}>`,
};

const strict = (field: string): string => `map has no entry for key ${JSON.stringify(field)}`;
const fill = (source: string): string => compileTemplate(source, { missing: strict })(DATA);

test.each([
  ["plain", "plain"],
  ["{{.Name}} {{ .Pid }}", "/web 42"],
  ["{{.Deep.Er.Est}}", "x"],
  ["{{.List}} {{.Map}} {{.None}} {{.Running}}", "[a b c] map[k1:v1 k2:v2] <nil> true"],
  ["{{json .Big}} {{.Big}}", "1795385803867395996 1795385803867395996"],
  ["{{json .Map}}|{{json .Name}}", '{"k2":"v2","k1":"v1"}|"/web"'],
  ['{{.Name | upper | printf "%q"}}', '"/WEB"'],
  ['{{join .List ","}} {{index .List 1}} {{len .List}} {{index .Map "k1"}}', "a,b,c b 3 v1"],
  ['{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"],
  ["{{range .List}}[{{.}}]{{end}}", "[a][b][c]"],
  ["{{range $i, $v := .List}}{{if $i}},{{end}}{{$v}}{{end}}", "a,b,c"],
  ["{{range $k, $v := .Map}}{{$k}}={{$v}};{{end}}", "k1=v1;k2=v2;"],
  ["{{range .None}}x{{else}}none{{end}}", "none"],
  ['{{range .List}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}', "a"],
  ['{{range .List}}{{if eq . "b"}}{{continue}}{{end}}{{.}}{{end}}', "ac"],
  ["{{if .Empty}}a{{else if .Running}}b{{else}}c{{end}}", "b"],
  ["{{with .Deep.Er}}{{.Est}}{{$.Pid}}{{end}}{{with .None}}x{{else}}y{{end}}", "x42y"],
  ['{{if and .Running (gt .Pid 40)}}yes{{end}} {{or .Empty "dflt"}} {{not .Running}}', "yes dflt false"],
  ['{{eq .Pid 42}} {{ne .Name "x"}} {{lt 1 2}} {{le 2 2}} {{ge 1 2}} {{eq .Name "a" "/web"}}', "true true true true false true"],
  ['{{printf "%-6s|%5d|%05.1f|%x|%v|%t" .Name .Pid 2.5 255 .List .Running}}', "/web  |   42|002.5|ff|[a b c]|true"],
  [
    '{{title "hello world"}} {{lower "ABC"}} {{truncate "abcdef" 3}} [{{pad "x" 1 2}}] {{split "a/b" "/"}}',
    "Hello World abc abc [ x  ] [a b]",
  ],
  ['{{println 1 "a"}}{{print 1 2 "a" 3}}', "1 a\n1 2a3"],
  ["a  {{- .Pid -}}  b", "a42b"],
  ["{{/* a comment */}}x", "x"],
  ["{{$x := .Pid}}{{$x}}{{$x = 7}}{{$x}}", "427"],
  ['{{.Label "a.b"}}', "<a.b>"],
  ['{{slice .Name 1}} {{"quo\\"ted"}} {{`raw`}}', 'web quo"ted raw'],
])("%s", (source, text) => {
  expect(fill(source)).toBe(text);
});

test.each([
  ["{{.Foo", "template: :1: unclosed action"],
  ["{{foo}}", 'template: :1: function "foo" not defined'],
  ["{{if .A}}", "template: :1: unexpected EOF"],
  ["{{end}}", "template: :1: unexpected {{end}}"],
  ["{{}}", "template: :1: missing value for command"],
  ['{{"abc}}', "template: :1: unterminated quoted string"],
  ["{{.Foo}}", 'template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo"'],
  ["{{.None.Status}}", "nil pointer evaluating interface {}.Status"],
  ["{{.Pid.X}}", "can't evaluate field X in type int"],
  ["{{index .List 9}}", "error calling index: reflect: slice index out of range"],
  ["{{$y}}", 'undefined variable "$y"'],
])("%s is refused in Go's words", (source, text) => {
  expect(() => fill(source)).toThrow(text);
});

test.each([
  ["{{.ID}} {{.Server.APIVersion}}", "abc 1.56"],
  ["{{.Descriptor.MediaType}} {{.Descriptor.mediaType}}", "text/plain text/plain"],
  ["{{.Descriptor.Platform.OS}}/{{.Descriptor.Platform.OSVersion}}", "linux/10"],
])("names as Go's programs have them: %s", (source, text) => {
  const platform = { os: "linux", "os.version": "10" };
  const object = { Id: "abc", Server: { ApiVersion: "1.56" }, Descriptor: { mediaType: "text/plain", platform }, Twin: 1, twin: 2 };
  const filled = compileTemplate(source, { missing: strict, alias: goField });
  expect(filled(object)).toBe(text);
  expect(() => compileTemplate("{{.iD}}", { missing: strict, alias: goField })(object)).toThrow('map has no entry for key "iD"');
  expect(() => compileTemplate("{{.TWIN}}", { missing: strict, alias: goField })(object)).toThrow('map has no entry for key "TWIN"');
});
