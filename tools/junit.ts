/** What one run of `bun test` counted. */
export interface Counts {
  passed: number;
  failed: string[];
  skipped: string[];
}

/** Reads the report that `bun test --reporter=junit` wrote; names are `group > test`. */
export function countsOf(xml: string): Counts {
  const counts: Counts = { passed: 0, failed: [], skipped: [] };
  for (const [, head = "", body = ""] of xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const attribute = (name: string): string => unescape(new RegExp(`\\b${name}="([^"]*)"`).exec(head)?.[1] ?? "");
    const group = attribute("classname");
    const name = group === "" ? attribute("name") : `${group} > ${attribute("name")}`;
    if (/<(failure|error)\b/.test(body)) counts.failed.push(name);
    else if (body.includes("<skipped")) counts.skipped.push(name);
    else counts.passed++;
  }
  return counts;
}

function unescape(text: string): string {
  const entities: Record<string, string> = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&" };
  return text.replaceAll(/&(?:lt|gt|quot|apos|amp);/g, (entity) => entities[entity] ?? entity);
}
