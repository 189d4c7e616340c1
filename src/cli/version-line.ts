import manifest from "../../package.json";

/** The version of this build. */
export const VERSION: string = manifest.version;

/** What `--version` prints. Called as docker it reads as docker's, since scripts parse it. */
export function versionLine(program: string): string {
  const name = program === "docker" ? "Docker" : "Lighter";
  return `${name} version ${VERSION}, build lighter\n`;
}
