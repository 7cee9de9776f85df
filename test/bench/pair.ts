import { join } from 'node:path';
import { Child } from './child.js';
import { nowMicros, sleep, MEGABYTE } from './clock.js';
import { type Contender, pathOf } from './contenders.js';
import type { AgeQuery, Ages, LoadApi, Totals } from './load/load.api.js';
import type { ServerApi, Stretch } from './servers/server.api.js';
import type { Content, Demand, Reading } from './servers/source.js';
import type { Settings } from './settings.js';

/** How one contender's clients connect. */
export interface Crowd {
  readonly clients: number;
  /** businessIds of client number `index`; absent: no subscription by message. */
  readonly subscriptionsOf?: (index: number) => readonly string[];
  readonly isCompressed?: boolean;
  readonly sourceAddresses?: number;
  /** Whether the newest datum of each series is kept for every client; then of so many series. */
  readonly series?: number;
  /** Absent: where the contender's raw data are. */
  readonly path?: string;
  /** Of so many clients the ages are taken. */
  readonly sampled?: number;
  /** Whether it is counted what does not come in the order of its numbers. */
  readonly checksOrder?: boolean;
}

/** What one measured stretch came to. */
export interface Round {
  readonly cpuMicrosPerDatum: number;
  readonly deliveredPerSecond: number;
  readonly ages: Ages;
  readonly bytesPerDatum: number;
  readonly rssMegabytes: number;
  /** Share of one core that the load client used: near 1 it, and not the server, is what is measured. */
  readonly loadShare: number;
}

const SAMPLED_CLIENTS = 50;
const AGE_SLICE_MS = 1000;
const ARRIVAL_DEADLINE_MS = 30_000;

/** A load client and the connections that it holds. */
export class Load {
  readonly child = new Child<LoadApi>(new URL('./load/load.process.js', import.meta.url), 'load client');

  async connect(contender: Contender, port: number, crowd: Crowd): Promise<void> {
    const indexes = Array.from({ length: crowd.clients }, (_, index) => index);
    await this.child.call('connect', {
      port,
      dialect: contender.dialect,
      paths: indexes.map((index) => crowd.path ?? pathOf(contender, index)),
      subscriptions: indexes.map((index) => crowd.subscriptionsOf?.(index) ?? []),
      isCompressed: crowd.isCompressed ?? false,
      sourceAddresses: crowd.sourceAddresses ?? 1,
      sampled: crowd.isCompressed === true ? 0 : Math.min(crowd.sampled ?? SAMPLED_CLIENTS, crowd.clients),
      series: crowd.series ?? 0,
      checksOrder: crowd.checksOrder ?? false,
    });
  }

  totals(): Promise<Totals> {
    return this.child.call('totals', undefined);
  }

  ages(query: Omit<AgeQuery, 'sliceMs'>): Promise<Ages> {
    return this.child.call('ages', { ...query, sliceMs: AGE_SLICE_MS });
  }
}

/** One contender's server and its load client, each a process. */
export class Pair {
  readonly load = new Load();
  private profilePath: string | undefined;

  private constructor(
    readonly contender: Contender,
    readonly server: Child<ServerApi>,
    readonly port: number,
    private readonly ackPort: number,
    private readonly crowd: Crowd,
  ) {}

  /** A string says why this contender cannot run here. What `prepare` does comes before the clients. */
  static async start(
    contender: Contender,
    crowd: Crowd,
    prepare?: (server: Child<ServerApi>) => Promise<void>,
  ): Promise<Pair | string> {
    const server = startServer(contender);
    const listening = await server.call('listen', contender.server);
    if ('skipped' in listening) {
      await server.end();
      return listening.skipped;
    }
    await prepare?.(server);
    const pair = new Pair(contender, server, listening.port, listening.ackPort, crowd);
    await pair.load.connect(contender, listening.port, crowd);
    return pair;
  }

  /** Tick after tick, each when the one before has arrived. */
  async runTicks(content: Content, dataPerTick: number, durationMs: number): Promise<Round> {
    const { clients } = this.crowd;
    await this.prepare();
    await this.load.child.call('acknowledge', { port: this.ackPort, every: dataPerTick * clients });
    const before = await this.load.totals();
    const begunMicros = nowMicros();
    const stretch = await this.server.call('runTicks', {
      content,
      dataPerTick,
      clients,
      warmUpMs: durationMs / 4,
      measureMs: durationMs * 0.75,
    });
    const after = await this.load.totals();
    const offered = stretch.to.offered - stretch.from.offered;
    return this.summarize(stretch, offered, before, after, nowMicros() - begunMicros);
  }

  /** At a rate, for a while; afterwards everything that was pushed has arrived, or this fails. */
  async runDemand(content: Content, demand: Demand, durationMs: number): Promise<Round> {
    await this.prepare();
    const atStart = await this.load.totals();
    await this.server.call('startDemand', { content, demand });
    await sleep(durationMs / 4);
    const from = await this.server.call('read', undefined);
    const before = await this.load.totals();
    await sleep(durationMs * 0.75);
    const to = await this.server.call('read', undefined);
    const after = await this.load.totals();
    const { reading } = await this.server.call('stopDemand', undefined);
    await this.whenArrived(atStart.data + reading.offered);
    return this.summarize({ from, to }, to.offered - from.offered, before, after, to.atMicros - from.atMicros);
  }

  async rssMegabytes(): Promise<number> {
    return (await this.server.call('rssBytes', undefined)) / MEGABYTE;
  }

  /** Records a CPU profile of the server until the end. */
  async profile({ profileDirectory }: Settings): Promise<void> {
    if (profileDirectory === undefined) return;
    const fileName = `${this.contender.name.replaceAll(/[^A-Za-z0-9]+/g, '-')}.cpuprofile`;
    this.profilePath = join(profileDirectory, fileName);
    await this.server.call('startProfile', undefined);
  }

  async end(): Promise<void> {
    if (this.profilePath !== undefined) await this.server.call('stopProfile', this.profilePath);
    await Promise.all([this.server.end(), this.load.child.end()]);
  }

  private async prepare(): Promise<void> {
    await this.server.call('collectGarbage', undefined);
    await this.load.child.call('collectGarbage', undefined);
    await this.load.child.call('forgetAges', undefined);
  }

  private async whenArrived(data: number): Promise<void> {
    const deadlineMicros = nowMicros() + ARRIVAL_DEADLINE_MS * 1000;
    for (;;) {
      const arrived = (await this.load.totals()).data;
      if (arrived === data) return;
      if (arrived > data || nowMicros() > deadlineMicros) {
        throw new Error(`${this.contender.name}: ${arrived} data arrived, ${data} were pushed`);
      }
      await sleep(50);
    }
  }

  private async summarize(
    { from, to }: Stretch,
    delivered: number,
    before: Totals,
    after: Totals,
    loadMicros: number,
  ): Promise<Round> {
    const micros = to.atMicros - from.atMicros;
    return {
      cpuMicrosPerDatum: cpuBetween(from, to) / delivered,
      deliveredPerSecond: (delivered / micros) * 1e6,
      ages: await this.load.ages({ fromMicros: from.atMicros, toMicros: to.atMicros }),
      bytesPerDatum: (after.bytes - before.bytes) / (after.data - before.data),
      rssMegabytes: await this.rssMegabytes(),
      loadShare: (after.cpuMicros - before.cpuMicros) / loadMicros,
    };
  }
}

export function startServer({ name }: Contender): Child<ServerApi> {
  return new Child<ServerApi>(new URL('./servers/server.process.js', import.meta.url), name);
}

export function cpuBetween(from: Reading, to: Reading): number {
  return to.cpuMicros - from.cpuMicros;
}
