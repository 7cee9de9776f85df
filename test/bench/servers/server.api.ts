import type { ServerSettings } from '../contenders.js';
import type { AlarmKind } from '../alarm.js';
import type { AgeQuery, Ages } from '../load/load.api.js';
import type { AlarmReading } from './alarm.source.js';
import type { SyncTimes } from './disk.js';
import type { Content, Demand, Reading } from './source.js';

/** One measured stretch: what the server's process used, and what it delivered for it. */
export interface Stretch {
  readonly from: Reading;
  readonly to: Reading;
}

export interface TickPlan {
  readonly content: Content;
  readonly dataPerTick: number;
  readonly clients: number;
  /** How many ticks may be on their way. Default 1: each when the one before has arrived. */
  readonly ticksInFlight?: number;
  /** Not counted. */
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface DemandPlan {
  readonly content: Content;
  readonly demand: Demand;
}

export interface RssReport {
  readonly beforeBytes: number;
  readonly highestBytes: number;
  readonly lastBytes: number;
  /** The highest without pages of files; undefined where the system does not tell. */
  readonly highestAnonymousBytes: number | undefined;
}

/** Between ticks of the event loop that are due every 10 ms. */
export interface LoopDelays {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly highestMs: number;
}

export interface FloodPlan {
  readonly kind: AlarmKind;
  readonly callers: number;
  /** Not counted. */
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** What the process of a server under test does when the benchmark says so. */
export interface ServerApi {
  /** Where the load client sends its UDP acknowledgements to; `skipped` says why there is no server. */
  listen(settings: ServerSettings): Promise<{ port: number; ackPort: number } | { skipped: string }>;
  /** One tick after the other, as soon as those before have arrived at all clients; ends when all have. */
  runTicks(plan: TickPlan): Promise<Stretch>;
  /** Begins to push at a rate, whether or not the server keeps up. */
  startDemand(plan: DemandPlan): void;
  read(): Reading;
  /** Ends the demand; answers with the number of the newest datum of each series. */
  stopDemand(): { reading: Reading; newest: number[] };
  /** As {@link stopDemand} answers, while it goes on. */
  newest(): number[];
  /** Pushes so many alarms, several a call, one call after the other. */
  fillLog(plan: { kind: AlarmKind; alarms: number }): Promise<void>;
  /** So many callers push alarms, each its next as soon as the one before is accepted. */
  floodAlarms(plan: FloodPlan): Promise<{ from: AlarmReading; to: AlarmReading }>;
  /** Begins to push alarms at a rate; ends by itself after `count` where that is given. */
  startAlarms(plan: { kind: AlarmKind; demand: Demand; count?: number }): void;
  readAlarms(): AlarmReading;
  /** Ends that, once everything that was pushed is accepted. */
  stopAlarms(): Promise<AlarmReading>;
  /** How long after they were due alarms were accepted. */
  acceptanceAges(query: AgeQuery): Ages;
  /** How long the disk of this folder takes to write and sync 4 KiB: what every commit waits for. */
  measureSync(folder: string): SyncTimes;
  collectGarbage(): void;
  rssBytes(): number;
  /** Watches this process's RSS from now on. */
  watchRss(): void;
  rssReport(): RssReport;
  /** Watches the delay of this process's event loop from now on, until the report. */
  watchLoop(): void;
  loopReport(): LoopDelays;
  cpuMicros(): number;
  clientCount(): number;
  /** Open at the HTTP server, also before their upgrade; undefined where the server does not tell. */
  socketCount(): Promise<number | undefined>;
  /** Counts what is read from connections that are made from now on. */
  countReceived(): void;
  receivedBytes(): number;
  maxInFlightBytes(): number | undefined;
  startProfile(): Promise<void>;
  stopProfile(path: string): Promise<void>;
}
