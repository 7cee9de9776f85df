import type { ServerSettings } from '../contenders.js';
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
}

/** What the process of a server under test does when the benchmark says so. */
export interface ServerApi {
  /** Where the load client sends its UDP acknowledgements to; `skipped` says why there is no server. */
  listen(settings: ServerSettings): Promise<{ port: number; ackPort: number } | { skipped: string }>;
  /** One tick after the other, each as soon as the one before has arrived at all clients. */
  runTicks(plan: TickPlan): Promise<Stretch>;
  /** Begins to push at a rate, whether or not the server keeps up. */
  startDemand(plan: DemandPlan): void;
  read(): Reading;
  /** Ends the demand; answers with the number of the newest datum of each series. */
  stopDemand(): { reading: Reading; newest: number[] };
  /** As {@link stopDemand} answers, while it goes on. */
  newest(): number[];
  collectGarbage(): void;
  rssBytes(): number;
  /** Watches this process's RSS from now on. */
  watchRss(): void;
  rssReport(): RssReport;
  clientCount(): number;
  maxInFlightBytes(): number | undefined;
  startProfile(): Promise<void>;
  stopProfile(path: string): Promise<void>;
}
