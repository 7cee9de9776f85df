import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { MemoryRevocations } from './access/memory.revocations.js';
import { MemoryTickets } from './access/memory.tickets.js';
import type { Revocations } from './access/revocations.js';
import type { Tickets } from './access/tickets.js';
import type { AlarmLog } from './alarm-log/alarm-log.js';
import { LmdbAlarmLog } from './alarm-log/lmdb.alarm-log.js';
import { LmdbEnvironment } from './alarm-log/lmdb.environment.js';
import { LmdbSubscriptionStore } from './alarm-log/lmdb.subscription-store.js';
import { MemoryAlarmLog } from './alarm-log/memory.alarm-log.js';
import { MemorySubscriptionStore } from './alarm-log/memory.subscription-store.js';
import { RedisAlarmLog } from './alarm-log/redis.alarm-log.js';
import { RedisSubscriptionStore } from './alarm-log/redis.subscription-store.js';
import type { SubscriptionStore } from './alarm-log/subscription-store.js';
import type { RawDataBus } from './bus/bus.js';
import type { Cluster } from './bus/cluster.js';
import type { LastValueStore } from './bus/last-value.store.js';
import { InProcessBus } from './bus/in-process.bus.js';
import { RedisBus } from './bus/redis.bus.js';
import { InProcessCluster } from './bus/in-process.cluster.js';
import { stackOf } from './push.causes.js';
import type { Clock } from './push.clock.js';
import type { PushOptions } from './push.options.js';
import { RedisCluster } from './redis/redis.cluster.js';
import { RedisConnection } from './redis/redis.connection.js';
import { RedisLastValueWriter } from './redis/redis.last-value.writer.js';
import { RedisLastValues } from './redis/redis.last-values.js';
import { RedisRevocations } from './redis/redis.revocations.js';
import { RedisTickets } from './redis/redis.tickets.js';

interface Ports {
  readonly alarmLog: AlarmLog;
  readonly subscriptions: SubscriptionStore;
  readonly bus: RawDataBus;
  readonly cluster: Cluster;
  /** Undefined where there is one node only, or no values are kept. */
  readonly lastValues: LastValueStore | undefined;
  readonly tickets: Tickets;
  readonly revocations: Revocations;
  /** Closes what the others share. */
  readonly close: () => Promise<void>;
}

/** What stands behind the ports, as the options say; closed last, when nothing is pushed any more. */
export class Backends implements OnApplicationShutdown {
  readonly alarmLog: AlarmLog;
  readonly subscriptions: SubscriptionStore;
  readonly bus: RawDataBus;
  readonly cluster: Cluster;
  readonly lastValues: LastValueStore | undefined;
  readonly tickets: Tickets;
  readonly revocations: Revocations;

  private constructor(private readonly ports: Ports) {
    this.alarmLog = ports.alarmLog;
    this.subscriptions = ports.subscriptions;
    this.bus = ports.bus;
    this.cluster = ports.cluster;
    this.lastValues = ports.lastValues;
    this.tickets = ports.tickets;
    this.revocations = ports.revocations;
  }

  /** Throws {@link PushConfigurationError} where they cannot be used as the options say. */
  static async open(options: PushOptions, now: Clock): Promise<Backends> {
    const { redisUrl } = options;
    return new Backends(
      await (redisUrl === undefined ? openEmbedded(options, now) : openOnRedis(options, redisUrl, now)),
    );
  }

  async onApplicationShutdown(): Promise<void> {
    await this.revocations.close();
    await this.cluster.close();
    await this.bus.close();
    await this.alarmLog.close();
    await this.subscriptions.close();
    await this.ports.close();
  }
}

const limitsOf = ({ maxDurablePerUser, maxDurable }: PushOptions) => ({
  perUser: maxDurablePerUser,
  total: maxDurable,
});

const retentionOf = ({ alarmRetention, alarmRetentionHours, alarmRetentionBytes }: PushOptions) => ({
  count: alarmRetention,
  hours: alarmRetentionHours,
  bytes: alarmRetentionBytes,
});

const keptMsOf = ({ revocationHours }: PushOptions) => revocationHours * 3_600_000;

/** What is between nodes, where there is one. */
function withoutOthers(options: PushOptions, now: Clock): Omit<Ports, 'alarmLog' | 'subscriptions' | 'close'> {
  return {
    bus: new InProcessBus(),
    cluster: new InProcessCluster(),
    lastValues: undefined,
    tickets: new MemoryTickets(now),
    revocations: new MemoryRevocations(keptMsOf(options), now),
  };
}

/** One process, and nothing to install. */
async function openEmbedded(options: PushOptions, now: Clock): Promise<Ports> {
  const others = withoutOthers(options, now);
  const retention = retentionOf(options);
  if (options.alarmLogPath === '') {
    return {
      alarmLog: new MemoryAlarmLog(retention, now),
      subscriptions: new MemorySubscriptionStore(limitsOf(options), now),
      ...others,
      close: async () => {},
    };
  }
  const environment = await LmdbEnvironment.open(options.alarmLogPath);
  if (environment.setAside !== undefined) {
    new Logger(Backends.name).error(
      `the alarm log was damaged and is kept as ${environment.setAside}: a new one has begun, and clients are told of the gap`,
    );
  }
  return {
    alarmLog: await LmdbAlarmLog.open({ environment, retention, now }),
    subscriptions: await LmdbSubscriptionStore.open(environment, limitsOf(options), now),
    ...others,
    close: () => environment.close(),
  };
}

/** Nodes of one prefix, on one Redis. */
async function openOnRedis(options: PushOptions, url: string, now: Clock): Promise<Ports> {
  const logger = new Logger(Backends.name);
  const connection = await RedisConnection.open({
    url,
    prefix: options.redisPrefix,
    onError: (message) => logger.error(message),
  });
  try {
    const onError = (what: string, cause: unknown) => logger.error(`cannot ${what}`, stackOf(cause));
    const cluster = await RedisCluster.open({ connection, onError });
    return {
      alarmLog: await RedisAlarmLog.open({
        connection,
        retention: retentionOf(options),
        requireDurable: options.requireDurableRedis,
        onWarning: (message) => logger.warn(message),
        now,
      }),
      subscriptions: new RedisSubscriptionStore(connection, limitsOf(options), now),
      cluster,
      ...(await openBus(connection, options, now)),
      tickets: new RedisTickets(connection, { now }),
      revocations: await RedisRevocations.open({ connection, cluster, keptMs: keptMsOf(options), onError, now }),
      close: async () => connection.close(),
    };
  } catch (cause) {
    connection.close();
    throw cause;
  }
}

/** The bus, and the last values that are written with what it sends. */
async function openBus(
  connection: RedisConnection,
  { history }: PushOptions,
  now: Clock,
): Promise<Pick<Ports, 'bus' | 'lastValues'>> {
  const logger = new Logger(Backends.name);
  const onError = (message: string) => logger.error(message);
  if (history === 0) return { bus: await RedisBus.open(connection, { onError }), lastValues: undefined };
  const writer = new RedisLastValueWriter({ connection, history, onError, now });
  const bus = await RedisBus.open(connection, {
    onError,
    publish: (channel, message, data) => writer.publish(channel, message, data),
  });
  return { bus, lastValues: new RedisLastValues({ connection, history, place: bus }) };
}
