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
  /** Whether every datum has to have the number after that of the one before it on its connection. */
  readonly checksOrder: boolean;
}

export interface Totals {
  /** Data frames, without control frames and messages of the protocol. */
  readonly data: number;
  readonly compressedData: number;
  readonly bytes: number;
  /** Data, where that is checked, whose number is not the one after the number before. */
  readonly outOfOrder: number;
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
  /** When every connection had the datum of this number, where the order is checked; undefined: not in time. */
  whenReached(plan: { n: number; withinMs: number }): Promise<number | undefined>;
  /** When so many data had arrived in all; undefined: not in time. */
  whenArrived(plan: { data: number; withinMs: number }): Promise<number | undefined>;
  /** From now on this process is woken by what arrives, for a measurement that waits for what a client returns. */
  sleepUntilRead(): void;
  /** (connection, series) whose newest datum is not the expected one. */
  countWrongValues(plan: { expected: readonly number[] }): number;
  /** Checks that a compressed datum of one connection can be read; its JSON's length, or undefined where none came. */
  inflatedLength(): number | undefined;
  disconnect(): Promise<void>;
  collectGarbage(): void;
}
