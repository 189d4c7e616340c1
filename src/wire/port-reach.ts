/** A published port and what the outside can reach of it, as `GET /lighter/ports` tells. */
export interface PortReach {
  containerId: string;
  containerName: string;
  protocol: "tcp" | "udp" | "sctp";
  hostAddress: string;
  hostPort: number;
  containerPort: number;
  policy: "open" | "firewall" | "loopback";
  /** `restricted`: for some and not for others; `unclear`: closed, since the host's rules cannot be judged. */
  reach: PortVerdict;
  /** In a few words. */
  why: string;
}

export type PortVerdict = "open" | "closed" | "restricted" | "unclear";
