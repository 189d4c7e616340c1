import { buildInfo } from "../base/build-info.ts";

/** What `--version` prints. Called as docker it reads as docker's, since scripts parse it. */
export function versionLine(program: string): string {
  const { version, commit } = buildInfo();
  return `${program === "docker" ? "Docker" : "Lighter"} version ${version}, build ${commit.slice(0, 7)}\n`;
}
