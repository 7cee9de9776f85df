import type { Dialect } from '../contenders.js';

export interface ConnectPlan {
  readonly port: number;
  readonly dialect: Dialect;
  /** One for each connection. */
  readonly paths: readonly string[];
  /** businessIds that each connection subscribes to by a message; empty: none. */
  readonly subscriptions: readonly (readonly string[])[];
  /** Offers permessage-deflate. */
  readonly isCompressed: boolean;
  /** Connections are made from so many loopback addresses. */
  readonly sourceAddresses: number;
  /** Of so many connections, spread evenly, the age of every datum is taken. */
  readonly sampled: number;
  /** Of every connection the newest datum of so many series is kept; 0: none. */
  readonly series: number;
}

export interface Totals {
  /** Data frames, without control frames and messages of the protocol. */
  readonly data: number;
  readonly compressedData: number;
  readonly bytes: number;
  /** Connections that ended although nobody asked for it. */
  readonly lost: number;
  readonly cpuMicros: number;
}

export interface Ages {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** The highest p99 of any slice. */
  readonly worstSliceP99Ms: number;
}

export interface AgeQuery {
  /** By the time at which a datum arrived. */
  readonly fromMicros: number;
  readonly toMicros: number;
  readonly sliceMs: number;
}

export interface CaughtUp {
  /** When every connection had a datum of at least the expected number in each series; undefined: not in time. */
  readonly atMicros: number | undefined;
  /** (connection, series) that did not. */
  readonly missing: number;
}

/** The load client: many connections on raw sockets, in a process of its own. */
export interface LoadApi {
  connect(plan: ConnectPlan): Promise<void>;
  /** From now on tells the server, by UDP, after every so many data how many arrived since this call. */
  acknowledge(plan: { port: number; every: number }): void;
  totals(): Totals;
  forgetAges(): void;
  ages(query: AgeQuery): Ages;
  whenCaughtUp(plan: { expected: readonly number[]; withinMs: number }): Promise<CaughtUp>;
  /** (connection, series) whose newest datum is not the expected one. */
  countWrongValues(plan: { expected: readonly number[] }): number;
  /** Checks that a compressed datum of one connection can be read; its JSON's length, or undefined where none came. */
  inflatedLength(): number | undefined;
  disconnect(): Promise<void>;
  collectGarbage(): void;
}
