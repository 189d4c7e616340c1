/** The executable: the daemon when asked for, the command line otherwise; each is loaded only when it is the one. */
async function main(words: string[]): Promise<number> {
  if (words[0] === "daemon") {
    stayLong();
    return (await import("./daemon.ts")).runDaemon(words.slice(1));
  }
  return (await import("./cli/cli.ts")).runCli(process.argv0, words, {
    registryGc: async (call) => (await import("./registry-collect.ts")).collectRegistry(call),
    registryServe: async (call) => {
      stayLong();
      return (await import("./registry-server.ts")).runRegistry(call);
    },
  });
}

/** The executable compiles code later than usual (`tools/build.ts`), for commands that are soon over; a server wants it as usual. Workers have it so anyway. */
function stayLong(): void {
  Bun.unsafe.setJITPolicy(1);
}

void main(process.argv.slice(2)).then((code) => process.exit(code));
