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
import { reasonOf, stackOf } from './push.causes.js';
import type { Clock } from './push.clock.js';
import type { PushOptions } from './push.options.js';
import { RedisCluster } from './redis/redis.cluster.js';
import { RedisConnection } from './redis/redis.connection.js';
import { RedisLastValueWriter } from './redis/redis.last-value.writer.js';
import { RedisLastValues } from './redis/redis.last-values.js';
import { RedisRevocations } from './redis/redis.revocations.js';
import { RedisTickets } from './redis/redis.tickets.js';
import { FaultReporter } from './registry/fault.reporter.js';

/** What stands behind the ports. */
interface Ports {
  readonly alarmLog: AlarmLog;
  readonly subscriptions: SubscriptionStore;
  readonly bus: RawDataBus;
  readonly cluster: Cluster;
  /** Undefined where there is one node only, or no values are kept. */
  readonly lastValues: LastValueStore | undefined;
  readonly tickets: Tickets;
  readonly revocations: Revocations;
}

interface Closable {
  close(): unknown;
}

/** What was opened, to be closed in the opposite order. */
class Opened {
  private readonly opened: Closable[] = [];

  add<T extends Closable>(resource: T): T {
    this.opened.unshift(resource);
    return resource;
  }

  /** Closes all of it, whatever fails, and then throws what did. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (const resource of this.opened) {
      try {
        await resource.close();
      } catch (cause) {
        failures.push(cause);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map(reasonOf).join(', '));
  }
}

/** What the options say that stands behind the ports; closed last, when nothing is pushed any more. */
export class Backends implements OnApplicationShutdown {
  private constructor(
    readonly ports: Ports,
    private readonly opened: Opened,
  ) {}

  /** Throws {@link PushConfigurationError} where they cannot be used as the options say. */
  static async open(options: PushOptions, now: Clock): Promise<Backends> {
    const { redisUrl } = options;
    const opened = new Opened();
    try {
      const ports =
        redisUrl === undefined
          ? await openEmbedded(opened, options, now)
          : await openOnRedis(opened, options, redisUrl, now);
      return new Backends(ports, opened);
    } catch (cause) {
      await opened.close().catch((failure: unknown) => tellCause('close what was opened', failure));
      throw cause;
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.opened.close();
  }
}

const logger = new Logger(Backends.name);
const tell = (message: string) => logger.error(message);
const tellCause = (what: string, cause: unknown) => logger.error(`cannot ${what}`, stackOf(cause));

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
function withoutOthers(opened: Opened, options: PushOptions, now: Clock): Omit<Ports, 'alarmLog' | 'subscriptions'> {
  return {
    bus: opened.add(new InProcessBus()),
    cluster: opened.add(new InProcessCluster()),
    lastValues: undefined,
    tickets: new MemoryTickets(now),
    revocations: opened.add(new MemoryRevocations(keptMsOf(options), now)),
  };
}

/** One process, and nothing to install. */
async function openEmbedded(opened: Opened, options: PushOptions, now: Clock): Promise<Ports> {
  const retention = retentionOf(options);
  if (options.alarmLogPath === '') {
    return {
      alarmLog: opened.add(new MemoryAlarmLog(retention, now)),
      subscriptions: opened.add(new MemorySubscriptionStore(limitsOf(options), now)),
      ...withoutOthers(opened, options, now),
    };
  }
  const environment = opened.add(await LmdbEnvironment.open(options.alarmLogPath));
  if (environment.setAside !== undefined) {
    logger.error(
      `the alarm log was damaged and is kept as ${environment.setAside}: a new one has begun, and clients are told of the gap`,
    );
  }
  return {
    alarmLog: opened.add(await LmdbAlarmLog.open({ environment, retention, now })),
    subscriptions: opened.add(await LmdbSubscriptionStore.open(environment, limitsOf(options), now)),
    ...withoutOthers(opened, options, now),
  };
}

/** Nodes of one prefix, on one Redis. */
async function openOnRedis(opened: Opened, options: PushOptions, url: string, now: Clock): Promise<Ports> {
  const connection = opened.add(
    await RedisConnection.open({
      url,
      prefix: options.redisPrefix,
      onError: tell,
    }),
  );
  const alarmLog = opened.add(
    await RedisAlarmLog.open({
      connection,
      retention: retentionOf(options),
      requireDurable: options.requireDurableRedis,
      onWarning: (message) => logger.warn(message),
      now,
    }),
  );
  const subscriptions = opened.add(new RedisSubscriptionStore(connection, limitsOf(options), now));
  const between = await openBus(opened, connection, options, now);
  const faults = new FaultReporter(logger);
  const cluster = opened.add(await RedisCluster.open({ connection, faults }));
  const revocations = opened.add(
    await RedisRevocations.open({ connection, cluster, keptMs: keptMsOf(options), faults, now }),
  );
  return { alarmLog, subscriptions, ...between, cluster, tickets: new RedisTickets(connection, { now }), revocations };
}

/** The bus, and the last values that are written with what it sends. */
async function openBus(
  opened: Opened,
  connection: RedisConnection,
  { history }: PushOptions,
  now: Clock,
): Promise<Pick<Ports, 'bus' | 'lastValues'>> {
  if (history === 0)
    return { bus: opened.add(await RedisBus.open(connection, { onError: tell })), lastValues: undefined };
  const writer = new RedisLastValueWriter({ connection, history, onError: tell, now });
  const bus = opened.add(
    await RedisBus.open(connection, {
      onError: tell,
      publish: (channel, message, data) => writer.publish(channel, message, data),
    }),
  );
  return { bus, lastValues: new RedisLastValues({ connection, history, place: bus }) };
}
