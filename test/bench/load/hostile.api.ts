import type { UpgradeAnswer, UpgradePlace } from './upgrade.attempt.js';

export interface Latencies {
  readonly count: number;
  /** Attempts that did not end in an open WebSocket. */
  readonly refused: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly highestMs: number;
}

export interface ConnectRhythm extends UpgradePlace {
  readonly count: number;
  /** Each begins so long after the one before, however long that takes. */
  readonly intervalMs: number;
}

export interface SlowPlan {
  readonly port: number;
  readonly path: string;
  readonly count: number;
  readonly sourceAddresses: number;
}

export interface SlowReport {
  readonly meanOpen: number;
  readonly lowestOpen: number;
  /** Ended by the server, and opened again. */
  readonly cut: number;
  /** That could not be made. */
  readonly failed: number;
}

export interface PingFlood {
  readonly port: number;
  readonly path: string;
  /** At the same time. */
  readonly flooders: number;
}

export interface FloodReport {
  /** That the kernel took, of which the server may not have read the last. */
  readonly sentBytes: number;
  readonly connections: number;
  readonly refusals: number;
}

export interface BurstPlan {
  readonly port: number;
  readonly places: readonly Omit<UpgradePlace, 'port'>[];
  readonly withinMs: number;
}

export interface BurstReport extends Latencies {
  readonly fromMicros: number;
  /** When the last was in. */
  readonly toMicros: number;
  /** Why the first that failed did. */
  readonly failure: string | undefined;
}

/** Clients that ask more of a server than a client should, in a process of their own. */
export interface HostileApi {
  connectInRhythm(plan: ConnectRhythm): Promise<Latencies>;
  /** Resolves when all are open for the first time. */
  holdSlowUpgrades(plan: SlowPlan): Promise<void>;
  forgetSlowCounts(): void;
  slowReport(): SlowReport;
  /** Goes on until it is stopped. */
  startFlood(plan: PingFlood): void;
  stopFlood(): Promise<FloodReport>;
  /** All at once; holds what is open until the process ends. */
  connectAll(plan: BurstPlan): Promise<BurstReport>;
  /** One upgrade; ends the connection. */
  ask(place: UpgradePlace): Promise<UpgradeAnswer>;
}
