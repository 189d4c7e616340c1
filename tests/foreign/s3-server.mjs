// A store that speaks S3, on a loopback port: `node s3-server.mjs PORT FOLDER BUCKET`. Key and secret are `S3RVER`.
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.LIGHTER_PACKAGES, "package.json"));
const S3rver = require("@20minutes/s3rver");
const [, , port, directory, bucket] = process.argv;
await new S3rver({
  port: Number(port),
  address: "127.0.0.1",
  silent: true,
  directory,
  configureBuckets: [{ name: bucket, configs: [] }],
}).run();
