import type { Profile } from '../history.js';

export interface ClientsStart {
  /** Of the gateways: each connection goes to one of them. */
  readonly ports: readonly number[];
  /** Each client writes a file of its own there, named as it is. */
  readonly folder: string;
  readonly profiles: readonly Profile[];
  /** Of what the clients do at random moments. */
  readonly seed: number;
}

/** What a process of clients does when it is asked. */
export interface ClientsApi {
  start(start: ClientsStart): Promise<void>;
  /** Resets the socket of each client that is connected, each at a moment within the time. Returns the fewest resets of all. */
  reset(withinMs: number): Promise<number>;
  /** Clients that were not told this place yet. */
  behind(cursor: string): Promise<string[]>;
  /** Disconnects all for good and writes their histories to the end. */
  end(): Promise<void>;
}
