import { isTerminal } from "./is-terminal.ts";
import { LighterError } from "../base/errors.ts";
import { checkAuth } from "../client/system.ts";
import type { App } from "./app.ts";
import { command } from "./command.ts";
import { authKey, credentialsFor, HUB_KEY, storeCredentials, type Credentials } from "./credentials.ts";
import { bool, string } from "./flags.ts";
import { ask } from "./prompt.ts";

/** docker offers to sign in at Docker Hub with a browser; that needs a client that Docker has registered. */
const NO_BROWSER =
  "Lighter cannot sign in to Docker Hub with a browser. Give a user name and a personal access token (https://app.docker.com/settings/personal-access-tokens).\n";

/** `login`: signs in to a registry and keeps the login in docker's configuration. */
export const login = command({
  usage: "[OPTIONS] [SERVER]",
  args: [0, 1],
  flags: {
    password: string("Password or access token", "p"),
    "password-stdin": bool("Read the password from standard input"),
    username: string("User name", "u"),
  },
  async run({ flags, given, args, app }) {
    if (flags.password !== "") {
      if (flags["password-stdin"])
        throw new LighterError("invalid", "conflicting options: cannot specify both --password and --password-stdin");
      app.err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
    }
    if (given("username") && flags.username === "") throw new LighterError("invalid", "username is empty");
    if (given("password") && flags.password === "") throw new LighterError("invalid", "password is empty");
    let { username, password } = flags;
    if (flags["password-stdin"]) {
      if (username === "") throw new LighterError("invalid", "the --password-stdin option requires --username to be set");
      password = (await Bun.stdin.text()).replace(/\r?\n$/, "");
    }
    const registry = (args[0] ?? "").replace(/^https?:\/\//, "").replace(/\/.*$/, "");
    const serveraddress = registry === "" ? HUB_KEY : authKey(registry);
    if (username === "" && password === "" && !given("username")) {
      const kept = await credentialsFor(app, registry === "" ? "docker.io" : registry);
      if (kept) {
        const who = kept.username === undefined ? "" : ` [Username: ${kept.username}]`;
        const hint = `To login with a different account, run '${app.program} logout' followed by '${app.program} login'`;
        app.err(`Authenticating with existing credentials...${who}\n\n Info -> ${hint}\n\n\n`);
        if (await tryKept(app, kept)) return;
      }
    }
    if (registry === "" && username === "" && isTerminal(0)) app.err(NO_BROWSER);
    ({ username, password } = await complete(app, username, password));
    await signIn(app, { username, password, serveraddress });
  },
});

async function tryKept(app: App, kept: Credentials): Promise<boolean> {
  try {
    const { Status } = await checkAuth(await app.connection(), kept);
    app.out(`${Status || "Login Succeeded"}\n`);
    return true;
  } catch {
    app.err("Login did not succeed, error: the kept credentials are not accepted\n");
    return false;
  }
}

async function complete(app: App, username: string, password: string): Promise<{ username: string; password: string }> {
  if ((username === "" || password === "") && !isTerminal(0))
    throw new LighterError("invalid", "Error: Cannot perform an interactive login from a non TTY device");
  const name = username === "" ? (await ask(app, "Username: ")).trim() : username;
  if (name === "") throw new LighterError("invalid", "Error: Non-null Username Required");
  const secret = password === "" ? await ask(app, "Password: ", { hidden: true }) : password;
  if (secret === "") throw new LighterError("invalid", "Error: Password Required");
  return { username: name, password: secret };
}

async function signIn(app: App, credentials: Credentials): Promise<void> {
  const { IdentityToken, Status } = await checkAuth(await app.connection(), credentials);
  const { password: _, ...withToken } = { ...credentials, identitytoken: IdentityToken ?? "" };
  const { helper } = await storeCredentials(app, IdentityToken ? withToken : credentials);
  if (helper === undefined) {
    app.err(
      `\nWARNING! Your credentials are stored unencrypted in '${app.folder}/config.json'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n`,
    );
  }
  app.out(`${Status || "Login Succeeded"}\n`);
}
