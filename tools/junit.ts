/** What one run of `bun test` counted. */
export interface Counts {
  passed: number;
  failed: string[];
  skipped: string[];
  /** The files that hold the failed tests, as the report names them. */
  files: string[];
}

/** Reads the report that `bun test --reporter=junit` wrote; names are `group > test`. */
export function countsOf(xml: string): Counts {
  const counts: Counts = { passed: 0, failed: [], skipped: [], files: [] };
  const files = new Set<string>();
  for (const [, head = "", body = ""] of xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const attribute = (name: string): string => unescape(new RegExp(`\\b${name}="([^"]*)"`).exec(head)?.[1] ?? "");
    const group = attribute("classname");
    const name = group === "" ? attribute("name") : `${group} > ${attribute("name")}`;
    if (/<(failure|error)\b/.test(body)) {
      counts.failed.push(name);
      if (attribute("file") !== "") files.add(attribute("file"));
    } else if (body.includes("<skipped")) counts.skipped.push(name);
    else counts.passed++;
  }
  return { ...counts, files: [...files] };
}

function unescape(text: string): string {
  const entities: Record<string, string> = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&" };
  return text.replaceAll(/&(?:lt|gt|quot|apos|amp);/g, (entity) => entities[entity] ?? entity);
}
