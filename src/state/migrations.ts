/**
 * The schema, one step a version; a step that was released is never changed, only followed by another.
 * Times are INTEGER nanoseconds since the epoch; `*_json` columns hold versioned JSON (`{"v":1,...}` where they are ours, Docker's shape where they are Docker's).
 */
export const MIGRATIONS: readonly string[] = [
  `
  -- Content store: blobs by digest, what each refers to, and unpacked layers by chain id.
  CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    created INTEGER NOT NULL
  ) WITHOUT ROWID;
  -- A manifest needs its config and layers; an index needs those of its manifests that are here.
  CREATE TABLE blob_edges (
    parent TEXT NOT NULL REFERENCES blobs(digest) ON DELETE CASCADE,
    child TEXT NOT NULL,
    PRIMARY KEY (parent, child)
  ) WITHOUT ROWID;
  CREATE INDEX blob_edges_child ON blob_edges(child);
  CREATE TABLE layers (
    chain_id TEXT PRIMARY KEY,
    parent TEXT REFERENCES layers(chain_id),
    diff_id TEXT NOT NULL,
    size INTEGER NOT NULL,
    inodes INTEGER NOT NULL,
    created INTEGER NOT NULL,
    last_used INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX layers_parent ON layers(parent);
  -- Which blob an unpacked layer came from, so that save and push need no second pass.
  CREATE TABLE layer_blobs (
    chain_id TEXT NOT NULL REFERENCES layers(chain_id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    PRIMARY KEY (chain_id, digest)
  ) WITHOUT ROWID;
  CREATE INDEX layer_blobs_digest ON layer_blobs(digest);
  -- A lease keeps what a running pull, load, build or push needs; those of a dead daemon are dropped at start.
  CREATE TABLE leases (
    id TEXT PRIMARY KEY,
    purpose TEXT NOT NULL,
    created INTEGER NOT NULL,
    boot TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE lease_items (
    lease TEXT NOT NULL REFERENCES leases(id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('blob','layer')),
    key TEXT NOT NULL,
    PRIMARY KEY (lease, kind, key)
  ) WITHOUT ROWID;
  -- Blobs under way: what is on disk of them survives a crash, so that a pull goes on where it stopped.
  CREATE TABLE ingests (
    ref TEXT PRIMARY KEY,
    expected TEXT,
    total INTEGER,
    updated INTEGER NOT NULL
  ) WITHOUT ROWID;

  -- Images: the id is the digest of the manifest or index (the target); names point at ids.
  CREATE TABLE images (
    id TEXT PRIMARY KEY,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    created INTEGER NOT NULL,
    last_used INTEGER NOT NULL
  ) WITHOUT ROWID;
  -- The platform manifests inside an image that can be run: found by manifest digest, config digest and short forms of both.
  CREATE TABLE image_manifests (
    image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    manifest TEXT NOT NULL,
    config TEXT NOT NULL,
    platform TEXT NOT NULL,
    chain_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (image, manifest)
  ) WITHOUT ROWID;
  CREATE INDEX image_manifests_manifest ON image_manifests(manifest);
  CREATE INDEX image_manifests_config ON image_manifests(config);
  CREATE TABLE image_names (
    name TEXT PRIMARY KEY,
    repository TEXT NOT NULL,
    tag TEXT,
    digest TEXT,
    image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    created INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX image_names_image ON image_names(image);

  -- Containers: what was asked for (desired) and what is (observed) stand apart.
  CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    config_json TEXT NOT NULL,
    image TEXT NOT NULL,
    manifest TEXT NOT NULL,
    chain_id TEXT,
    runtime TEXT NOT NULL,
    auto_remove INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL CHECK (status IN ('created','starting','running','paused','restarting','stopping','exited','removing','dead')),
    started INTEGER NOT NULL DEFAULT 0,
    finished INTEGER NOT NULL DEFAULT 0,
    exit_code INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    oom_killed INTEGER NOT NULL DEFAULT 0,
    restart_count INTEGER NOT NULL DEFAULT 0,
    stopped_by_user INTEGER NOT NULL DEFAULT 0,
    has_run INTEGER NOT NULL DEFAULT 0,
    health_json TEXT,
    task_json TEXT,
    log_json TEXT
  ) WITHOUT ROWID;
  CREATE INDEX containers_image ON containers(image);
  CREATE INDEX containers_chain ON containers(chain_id);
  CREATE INDEX containers_status ON containers(status);
  CREATE TABLE execs (
    id TEXT PRIMARY KEY,
    container TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    config_json TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('created','running','exited')),
    exit_code INTEGER,
    task_json TEXT
  ) WITHOUT ROWID;
  CREATE INDEX execs_container ON execs(container);

  -- Networks, endpoints, and what may be held once only: addresses, MACs, host ports.
  CREATE TABLE networks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    driver TEXT NOT NULL,
    created INTEGER NOT NULL,
    interface TEXT UNIQUE,
    config_json TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE endpoints (
    id TEXT PRIMARY KEY,
    network TEXT NOT NULL REFERENCES networks(id),
    container TEXT REFERENCES containers(id) ON DELETE CASCADE,
    interface TEXT NOT NULL,
    address4 TEXT,
    address6 TEXT,
    mac TEXT,
    config_json TEXT NOT NULL,
    UNIQUE (network, container),
    UNIQUE (network, address4),
    UNIQUE (network, address6),
    UNIQUE (network, mac)
  ) WITHOUT ROWID;
  CREATE INDEX endpoints_container ON endpoints(container);
  CREATE TABLE ports (
    protocol TEXT NOT NULL CHECK (protocol IN ('tcp','udp','sctp')),
    host_address TEXT NOT NULL,
    host_port INTEGER NOT NULL,
    container TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
    container_port INTEGER NOT NULL,
    endpoint TEXT REFERENCES endpoints(id) ON DELETE CASCADE,
    PRIMARY KEY (protocol, host_address, host_port)
  ) WITHOUT ROWID;
  CREATE INDEX ports_container ON ports(container);

  -- Volumes and who mounts them.
  CREATE TABLE volumes (
    name TEXT PRIMARY KEY,
    driver TEXT NOT NULL,
    created INTEGER NOT NULL,
    anonymous INTEGER NOT NULL DEFAULT 0,
    populated INTEGER NOT NULL DEFAULT 0,
    config_json TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE volume_references (
    volume TEXT NOT NULL REFERENCES volumes(name),
    container TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
    destination TEXT NOT NULL,
    PRIMARY KEY (container, destination)
  ) WITHOUT ROWID;
  CREATE INDEX volume_references_volume ON volume_references(volume);

  -- Events are rows from the first commit on; the stream reads the table.
  CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    type TEXT NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    attributes_json TEXT NOT NULL
  );
  CREATE INDEX events_time ON events(time);

  -- What exists outside of this database (namespaces, rules, cgroups, directories): named here before it is made, swept from here after a crash.
  CREATE TABLE effects (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    owner TEXT NOT NULL,
    data_json TEXT NOT NULL,
    PRIMARY KEY (kind, key)
  ) WITHOUT ROWID;
  CREATE INDEX effects_owner ON effects(owner);

  CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value_json TEXT NOT NULL
  ) WITHOUT ROWID;
  `,
  `
  -- The built-in registry: which digest a tag means, and what a repository shows. Blobs without a manifest are kept for a day.
  CREATE TABLE registry_tags (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (repository, tag)
  ) WITHOUT ROWID;
  CREATE TABLE registry_links (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('manifest','blob')),
    media_type TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
  ) WITHOUT ROWID;
  CREATE INDEX registry_links_digest ON registry_links(digest);
  `,
  `
  -- Health checks: when the next one is due, which exec is under way, and the last results.
  CREATE TABLE health_checks (
    container TEXT PRIMARY KEY REFERENCES containers(id) ON DELETE CASCADE,
    due INTEGER NOT NULL,
    exec TEXT,
    log_json TEXT NOT NULL
  ) WITHOUT ROWID;
  -- Events of execs, of which health checks make the most: they are trimmed apart, so that they do not push out all others.
  CREATE INDEX events_exec ON events(sequence, action) WHERE action >= 'exec_' AND action < 'exec\`';
  `,
  `
  -- What a running container's process still has, where the container was edited since it was started.
  CREATE TABLE running_configs (
    container TEXT PRIMARY KEY REFERENCES containers(id) ON DELETE CASCADE,
    config_json TEXT NOT NULL
  ) WITHOUT ROWID;
  `,
  `
  -- Empty but for a moment: its pages are kept for when the disk is full (reserve.ts).
  CREATE TABLE reserve (bytes BLOB NOT NULL);
  `,
  `
  -- Repositories that a blob was pulled from or pushed to: a push elsewhere in the same registry mounts it instead of sending it.
  CREATE TABLE blob_sources (
    digest TEXT NOT NULL REFERENCES blobs(digest) ON DELETE CASCADE,
    registry TEXT NOT NULL,
    repository TEXT NOT NULL,
    noted INTEGER NOT NULL,
    PRIMARY KEY (digest, registry, repository)
  ) WITHOUT ROWID;
  -- Names, with * and ?, of images that the collection of unused images leaves alone.
  CREATE TABLE image_pins (
    pattern TEXT PRIMARY KEY,
    created INTEGER NOT NULL
  ) WITHOUT ROWID;
  `,
  `
  -- The registry's care of what it keeps: when a tag was set and pulled, when somebody last asked whether a blob is here (seen),
  -- what is known of upstreams, notices that wait for their receivers, and objects of a bucket that may be of no use.
  ALTER TABLE registry_tags ADD COLUMN updated INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE registry_tags ADD COLUMN pulled INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE registry_links ADD COLUMN pulled INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE registry_links ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE registry_upstream_tags (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    checked INTEGER NOT NULL,
    PRIMARY KEY (repository, tag)
  ) WITHOUT ROWID;
  CREATE TABLE registry_notices (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    receiver TEXT NOT NULL,
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    body_json TEXT NOT NULL
  );
  CREATE INDEX registry_notices_due ON registry_notices(receiver, due);
  CREATE TABLE registry_garbage (digest TEXT PRIMARY KEY) WITHOUT ROWID;
  `,
  `
  -- Legacy links of containers on the default bridge: who calls whom how.
  CREATE TABLE container_links (
    parent TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
    alias TEXT NOT NULL,
    child TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    PRIMARY KEY (parent, alias)
  ) WITHOUT ROWID;
  CREATE INDEX container_links_child ON container_links(child);
  `,
  `
  -- What refers to a manifest by its subject, and the bytes (by sha256) of what goes by another algorithm's digest.
  ALTER TABLE registry_links ADD COLUMN content TEXT;
  CREATE TABLE registry_referrers (
    repository TEXT NOT NULL,
    subject TEXT NOT NULL,
    digest TEXT NOT NULL,
    artifact_type TEXT,
    descriptor_json TEXT NOT NULL,
    PRIMARY KEY (repository, subject, digest)
  ) WITHOUT ROWID;
  CREATE INDEX registry_referrers_digest ON registry_referrers(repository, digest);
  `,
  `
  -- Runs of a partial download that are there (\`start-end,...\`), where some lie apart; else its file has no gap.
  ALTER TABLE ingests ADD COLUMN extents TEXT;
  `,
  `
  -- By what the bytes are called that a link means by another algorithm's digest: asked for each blob of a collection.
  CREATE INDEX registry_links_content ON registry_links(content) WHERE content IS NOT NULL;
  `,
  `
  -- Which tags mean a manifest: asked for each one that a collection may remove.
  CREATE INDEX registry_tags_digest ON registry_tags(repository, digest);
  `,
  `
  -- Who holds a host port, on whatever address: asked for each port of a container that starts.
  CREATE INDEX ports_number ON ports(host_port);
  `,
];
