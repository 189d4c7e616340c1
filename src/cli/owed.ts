/**
 * Commands and flags of docker's command line that are not here yet, each with who owes them: the number of an issue, or
 * `later` for what no issue names yet, or `never` for what has no meaning here. `facts.test.ts` holds this table against
 * docker's own list: nothing may be missing from both.
 */
export const OWED: Readonly<Record<string, 4 | 5 | 6 | "later" | "never">> = {
  "image build": "later",
  build: "later",
  "builder *": "later",
  "config *": "never",
  "node *": "never",
  "plugin create": "never",
  "plugin disable": "never",
  "plugin enable": "never",
  "plugin inspect": "never",
  "plugin install": "never",
  "plugin push": "never",
  "plugin rm": "never",
  "plugin set": "never",
  "plugin upgrade": "never",
  "secret *": "never",
  "service *": "never",
  "stack *": "never",
  "swarm *": "never",
  "volume update": "never",
  "volume create --availability": "never",
  "volume create --group": "never",
  "volume create --limit-bytes": "never",
  "volume create --required-bytes": "never",
  "volume create --scope": "never",
  "volume create --secret": "never",
  "volume create --sharing": "never",
  "volume create --topology-preferred": "never",
  "volume create --topology-required": "never",
  "volume create --type": "never",
};
