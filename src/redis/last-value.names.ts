import type { KeyAddress } from '../protocol/messages.js';
import type { RedisConnection } from './redis.connection.js';

/** The names of what is kept in Redis of last values; parts are percent-encoded, so none holds a `:`. */
export class LastValueNames {
  constructor(private readonly connection: Pick<RedisConnection, 'key'>) {}

  /** A hash: of each series of the address its newest value, as `decodeRecord` reads it. */
  valuesOf({ businessType, businessId }: KeyAddress): string {
    return this.connection.key('last', encodeURIComponent(businessType), encodeURIComponent(businessId));
  }

  /** A list of the last values, where more than one is kept, oldest first; without a series: what their names begin with. */
  historyOf({ businessType, businessId }: KeyAddress, series = ''): string {
    return this.connection.key('history', encodeURIComponent(businessType), encodeURIComponent(businessId), series);
  }

  /** A sorted set: the ids of the type that have values, by the time at which they were last seen. */
  idsOf(businessType: string): string {
    return this.connection.key('ids', encodeURIComponent(businessType));
  }
}
