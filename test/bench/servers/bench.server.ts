import type { ServerSettings } from '../contenders.js';
import type { Datum } from '../datum.js';

/** A server under test, in the process that is measured. */
export interface BenchServer {
  readonly port: number;
  /** Pushes to all clients that it is for, and returns how many those are. */
  push(datum: Datum): number;
  clientCount(): number;
  /** The most bytes that are in flight to one client, where the server knows. */
  maxInFlightBytes?(): number;
}

/** A string says why this server cannot run here. */
export type StartServer = (settings: ServerSettings) => Promise<BenchServer | string>;
