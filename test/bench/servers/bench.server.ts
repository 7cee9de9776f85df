import type { BenchAlarm } from '../alarm.js';
import type { ServerSettings } from '../contenders.js';
import type { Datum } from '../datum.js';

/** Where alarms are pushed; resolves when they are accepted. */
export interface AlarmTarget {
  push(alarm: BenchAlarm): Promise<void>;
  /** Several in one call, in this order. */
  pushAll(alarms: readonly BenchAlarm[]): Promise<void>;
}

/** A server under test, in the process that is measured. */
export interface BenchServer {
  readonly port: number;
  /** Pushes to all clients that it is for, and returns how many those are. */
  push(datum: Datum): number;
  clientCount(): number;
  /** Open sockets, also those that are no clients yet, where the server knows. */
  socketCount?(): Promise<number>;
  /** Begins to count what is read from connections made from now on; the returned function tells. */
  countReceived?(): () => number;
  /** Undefined: alarms are not part of this server. */
  readonly alarms?: AlarmTarget;
  /** The most bytes that are in flight to one client, where the server knows. */
  maxInFlightBytes?(): number;
}

/** A string says why this server cannot run here. */
export type StartServer = (settings: ServerSettings) => Promise<BenchServer | string>;
