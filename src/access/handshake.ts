import type { IncomingMessage } from 'node:http';

/** What a connection asks for, before it is answered. */
export interface Handshake {
  readonly request: IncomingMessage;
  readonly gateway: 'rawData' | 'alarm';
  /** Address of the client; behind a trusted proxy the one that the proxy names. */
  readonly remoteAddress: string;
  /** Whether the peer's own socket comes from this machine, whatever any header says. */
  readonly isLoopbackPeer: boolean;
  /** `http` or `https`, as the client sees it. */
  readonly scheme: 'http' | 'https';
  /** The Host header, or a trusted proxy's X-Forwarded-Host; lower case, with the port where it is given. */
  readonly host: string;
  readonly query: URLSearchParams;
  /** The decoded parts of the path; empty on alarms. */
  readonly parameters: Readonly<Record<string, string>>;
}
