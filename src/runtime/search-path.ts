const STANDARD = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Where OCI runtimes look for programs of theirs (criu, newuidmap): the standard places first, then the daemon's own. */
export function searchPath(): string {
  return [...new Set([...STANDARD, ...(process.env["PATH"] ?? "").split(":")])].filter((folder) => folder.startsWith("/")).join(":");
}
