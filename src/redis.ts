/**
 * What the nodes of one Redis are made of, for processes beside them: a job that copies the alarm log elsewhere, one that
 * appends alarms. Nodes themselves need only the option `redisUrl`. The package `redis` is loaded by RedisConnection.open.
 */
export type { AlarmRetention } from './alarm-log/alarm-log.rules.js';
export { RedisAlarmLog } from './alarm-log/redis.alarm-log.js';
export type { RedisAlarmLogOptions } from './alarm-log/redis.alarm-log.js';
export { RedisSubscriptionStore } from './alarm-log/redis.subscription-store.js';
export type {
  OpenedSubscription,
  StoredSubscription,
  SubscriptionId,
  SubscriptionLimits,
  SubscriptionStore,
} from './alarm-log/subscription-store.js';
export type { RawDataBus, RawDataEnvelope } from './bus/bus.js';
export { RedisBus } from './bus/redis.bus.js';
export type { RedisBusCounts, RedisBusOptions } from './bus/redis.bus.js';
export { RedisConnection } from './redis/redis.connection.js';
export type { RedisConnectionOptions } from './redis/redis.connection.js';
