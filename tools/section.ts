import { join } from "node:path";

const root = join(import.meta.dir, "..");

/** Puts a text between the markers `<!-- <name> -->` and `<!-- /<name> -->` of a file of the repository. */
export async function replaceSection(file: string, name: string, text: string): Promise<void> {
  const path = join(root, file);
  const content = await Bun.file(path).text();
  const pattern = new RegExp(`(<!-- ${name} -->)[\\s\\S]*?(<!-- /${name} -->)`);
  if (!pattern.test(content)) throw new Error(`${file} has no section between <!-- ${name} --> and <!-- /${name} -->`);
  await Bun.write(
    path,
    content.replace(pattern, (_, open: string, close: string) => `${open}\n${text}\n${close}`),
  );
}
