import type { LastValueStore, StoredSeries } from '../bus/last-value.store.js';
import { conflationKey } from '../fan-out/key.js';
import { ANY_BUSINESS_ID, type KeyAddress } from '../protocol/messages.js';
import { LastValueNames } from './last-value.names.js';
import { decodeRecord } from './last-value.record.js';
import type { RedisConnection } from './redis.connection.js';
import type { RedisClient } from './redis.link.js';
import { arrayOf } from './redis.reply.js';

/** Where reading has to take its place among what is sent and received. */
export interface ReadingPlace {
  /** The connection that subscribes: what Redis answers there comes behind whatever was published before. */
  readonly subscribing: RedisClient;
  /** Resolves when Redis has taken what this node sent until now; undefined where it has. */
  whenSent(): Promise<unknown> | undefined;
}

export interface RedisLastValuesOptions {
  readonly connection: RedisConnection;
  /** Values kept of each series. */
  readonly history: number;
  readonly place: ReadingPlace;
}

/** Ids of a type that are read at the same time. */
const IDS_A_PAGE = 64;
/** Series that one step asks for; a small hash is read whole in any case. */
const SERIES_A_STEP = '100';

interface Step {
  readonly address: StoredSeries['address'];
  /** Where the next step begins; `0`: there is none. */
  readonly next: string;
  readonly series: readonly StoredSeries[];
}

/** The last values of all nodes, in Redis; written by RedisLastValueWriter. Nothing is asked that goes over all of Redis. */
export class RedisLastValues implements LastValueStore {
  private readonly names: LastValueNames;

  constructor(private readonly options: RedisLastValuesOptions) {
    this.names = new LastValueNames(options.connection);
  }

  async *read({ businessType, businessId }: KeyAddress): AsyncGenerator<readonly StoredSeries[]> {
    await this.options.place.whenSent();
    if (businessId !== ANY_BUSINESS_ID) {
      yield* this.readFrom({ businessType, businessId }, '0');
      return;
    }
    const ids = arrayOf(await this.ask('ZRANGE', this.names.idsOf(businessType), '0', '-1')).map(String);
    while (ids.length > 0) {
      const page = ids.splice(0, IDS_A_PAGE);
      const steps = await Promise.all(page.map((id) => this.step({ businessType, businessId: id }, '0')));
      yield steps.flatMap(({ series }) => series);
      for (const { address, next } of steps) if (next !== '0') yield* this.readFrom(address, next);
    }
  }

  private async *readFrom(address: StoredSeries['address'], cursor: string): AsyncGenerator<readonly StoredSeries[]> {
    for (let from = cursor; ;) {
      const { series, next } = await this.step(address, from);
      yield series;
      if (next === '0') return;
      from = next;
    }
  }

  private async step(address: StoredSeries['address'], cursor: string): Promise<Step> {
    const answer = await this.ask('HSCAN', this.names.valuesOf(address), cursor, 'COUNT', SERIES_A_STEP);
    const [next, pairs] = arrayOf(answer);
    const words = arrayOf(pairs).map(String);
    const found: Promise<StoredSeries>[] = [];
    for (let index = 0; index < words.length; index += 2) {
      found.push(this.seriesOf(address, words[index] ?? '', words[index + 1] ?? ''));
    }
    const series = await Promise.all(found);
    return { address, next: String(next), series: series.filter(({ values }) => values.length > 0) };
  }

  private async seriesOf(address: StoredSeries['address'], name: string, newest: string): Promise<StoredSeries> {
    const records = await this.recordsOf(address, name, newest);
    const key = conflationKey(address.businessType, address.businessId, name);
    const values = records.flatMap((record) => decodeRecord(record, key) ?? []);
    return { address, values };
  }

  private async recordsOf(address: StoredSeries['address'], series: string, newest: string): Promise<string[]> {
    const { history } = this.options;
    if (history === 1) return [newest];
    const answer = await this.ask('LRANGE', this.names.historyOf(address, series), `${-history}`, '-1');
    const records = arrayOf(answer).map(String);
    // A node that keeps the newest alone has written it.
    return records.includes(newest) ? records : [...records, newest];
  }

  private ask(...words: string[]): Promise<unknown> {
    return this.options.place.subscribing.sendCommand(words);
  }
}
