import {
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsNotEmpty,
  IsOptional,
  IsString,
  IsUrl,
  Matches,
  Max,
  Min,
  type ValidationError,
  validateSync,
  Validate,
  ValidateNested,
  ValidatorConstraint,
  type ValidatorConstraintInterface,
} from 'class-validator';
import { Authenticator } from './access/authenticator.js';
import { createPeerReader } from './access/peer.js';
import { PushAuthorizer } from './access/push.authorizer.js';
import type { DeliveryMode } from './fan-out/conflating.backlog.js';
import type { Meter } from './observe/meter.js';
import type { ReadinessCheck } from './observe/node.health.js';
import { PushConfigurationError } from './push.errors.js';
import type { RawDatum } from './push.types.js';
import type { ClientInfo } from './registry/client.registry.js';

/** Asked for matched clients only: false means not delivered to this one. It narrows, and is never asked to widen. */
export type DeliveryFilter = (client: ClientInfo, datum: RawDatum) => boolean;

/** Replaces the rule that a datum's `series` is its conflation key within (businessType, businessId). */
export type SeriesOf = (datum: RawDatum) => string;

/** Names an injectable of the application. */
export interface UseExisting<T> {
  readonly useExisting: abstract new (...args: never[]) => T;
}

export function isUseExisting<T>(value: unknown): value is UseExisting<T> {
  return typeof value === 'object' && value !== null && typeof (value as UseExisting<T>).useExisting === 'function';
}

@ValidatorConstraint()
class IsFunction implements ValidatorConstraintInterface {
  validate(value: unknown): boolean {
    return typeof value === 'function';
  }

  defaultMessage(): string {
    return '$property must be a function';
  }
}

@ValidatorConstraint()
class IsMeter implements ValidatorConstraintInterface {
  validate(value: unknown): boolean {
    return typeof (value as Partial<Meter>).addBatchObservableCallback === 'function';
  }

  defaultMessage(): string {
    return '$property must be a Meter of @opentelemetry/api, as meterProvider.getMeter(name) gives it';
  }
}

@ValidatorConstraint()
class IsAuthenticator implements ValidatorConstraintInterface {
  validate(value: unknown): boolean {
    return value instanceof Authenticator || isUseExisting(value);
  }

  defaultMessage(): string {
    return '$property must be an Authenticator, or { useExisting }';
  }
}

@ValidatorConstraint()
class IsAuthorizer implements ValidatorConstraintInterface {
  validate(value: unknown): boolean {
    return value instanceof PushAuthorizer || isUseExisting(value);
  }

  defaultMessage(): string {
    return '$property must be a PushAuthorizer, as ClaimsAuthorizer is, or { useExisting }';
  }
}

const MAX_TIMER_MS = 2 ** 31 - 1;
const PATH_SEGMENT = '/[A-Za-z0-9_.~-]+';

export class CompressionOptions {
  /** Shorter messages are sent as they are. */
  @IsInt()
  @Min(0)
  thresholdBytes = 1024;
}

/** Every option with its default. `PushModule.forRoot` takes any part of it. */
export class PushOptions {
  /** Path of the raw-data gateway: literal segments, then the three parameters. */
  @Matches(new RegExp(`^(${PATH_SEGMENT})+/:businessType/:businessId/:userName$`), {
    message: 'rawDataPath must be literal segments followed by /:businessType/:businessId/:userName',
  })
  rawDataPath = '/ws/rowdata/:businessType/:businessId/:userName';

  /** Path of the alarm gateway: literal segments only. */
  @Matches(new RegExp(`^(${PATH_SEGMENT})+$`), { message: 'alarmPath must be literal segments, as /ws/alarm' })
  alarmPath = '/ws/alarm';

  /** Raw data pushed within this time are joined into one write a client. 0: within one tick of the event loop. */
  @IsInt()
  @Min(0)
  @Max(60_000)
  flushIntervalMs = 0;

  /** How much a client may be sent that it has not confirmed to have read. At most `maxOutboxBytes`. */
  @IsInt()
  @Min(1024)
  @Max(64 * 1024 * 1024)
  inFlightBytes = 64 * 1024;

  /** Budget of what waits for one client. A client over it is closed with 4413. */
  @IsInt()
  @Min(1024)
  @Max(256 * 1024 * 1024)
  maxOutboxBytes = 1024 * 1024;

  /** A client whose data wait this long is under pressure: from then on it gets the newest value of each series. */
  @IsInt()
  @Min(0)
  @Max(60_000)
  conflateAfterMs = 100;

  /**
   * `conflate`: every datum, under pressure the newest of each series. `merge`: the newest of each series in every
   * flush. `disconnect`: every datum, and a client under pressure is closed with 4408.
   */
  @IsIn(['conflate', 'merge', 'disconnect'])
  delivery: DeliveryMode = 'conflate';

  /** Every connection is pinged this often. */
  @IsInt()
  @Min(10)
  @Max(MAX_TIMER_MS)
  heartbeatIntervalMs = 25_000;

  /** A connection without a pong for this long is ended. Greater than `heartbeatIntervalMs`. */
  @IsInt()
  @Min(20)
  @Max(MAX_TIMER_MS)
  heartbeatTimeoutMs = 45_000;

  /** Connections of both gateways on this node; over it 503. */
  @IsInt()
  @Min(1)
  maxConnections = 10_000;

  /** Connections from one address; over it 429. */
  @IsInt()
  @Min(1)
  maxConnectionsPerIp = 1000;

  /** Connections of one authenticated user to this node; over it 429. */
  @IsInt()
  @Min(1)
  maxConnectionsPerUser = 100;

  /** Upgrades from one address a second, on average; over it 429. At once as many as it may have connections. */
  @IsInt()
  @Min(1)
  maxUpgradesPerSecond = 100;

  /** Messages and control frames that a client may send a second, on average, twice as many at once; over it 4429. */
  @IsInt()
  @Min(1)
  maxMessagesPerSecond = 100;

  /**
   * Keys that a client may subscribe to and unsubscribe from a second, with the last values that it asks for, on average; at
   * once 40 times as many, or twice `maxSubscriptionsPerClient` where that is more; over it 4429.
   */
  @IsInt()
  @Min(1)
  maxKeysPerSecond = 500;

  /** Time for a message to come in whole; over it the connection is closed (4400). */
  @IsInt()
  @Min(1000)
  @Max(MAX_TIMER_MS)
  maxMessageMs = 10_000;

  /** Time for the headers of any request to the application's HTTP server; 0 leaves the server as it is. */
  @IsInt()
  @Min(0)
  @Max(MAX_TIMER_MS)
  headersTimeoutMs = 5000;

  /** How long a connection outlives its credentials, so that a client can send fresh ones; then 4401. */
  @IsInt()
  @Min(0)
  @Max(MAX_TIMER_MS)
  tokenGraceMs = 10_000;

  /** How long a revocation is remembered: as long as a token can be valid. */
  @IsInt()
  @Min(1)
  revocationHours = 24;

  /** Keys that one client may subscribe to. */
  @IsInt()
  @Min(1)
  maxSubscriptionsPerClient = 1000;

  /** Largest message that a client may send, in bytes; over it the connection is closed with 1009. */
  @IsInt()
  @Min(128)
  @Max(16 * 1024 * 1024)
  maxMessageBytes = 16 * 1024;

  /** Origins of pages that may connect, exact, as `https://app.example.com`. Empty: only pages of the same origin. */
  @IsArray()
  @IsString({ each: true })
  @Matches(/^(\*|[a-z][a-z0-9+.-]*:\/\/[^/\s]+|null)$/, {
    each: true,
    message: 'each of allowedOrigins must be a scheme, host and port as https://app.example.com, without a path',
  })
  allowedOrigins: string[] = [];

  /** Addresses or CIDRs of proxies whose X-Forwarded-* headers count. */
  @IsArray()
  @IsString({ each: true })
  @IsNotEmpty({ each: true })
  trustProxy: string[] = [];

  /** Lets clients of other machines connect although no authenticator is configured. */
  @IsBoolean()
  allowAnonymous = false;

  /**
   * Turns a handshake into a principal. Absent: everybody on this machine is let in, and nobody else. An injectable of the
   * application is named as `{ useExisting: MyAuthenticator }`.
   */
  @IsOptional()
  @Validate(IsAuthenticator)
  authenticator?: Authenticator | UseExisting<Authenticator> = undefined;

  /** Decides what a principal may see. Absent: its claims do. */
  @IsOptional()
  @Validate(IsAuthorizer)
  authorizer?: PushAuthorizer | UseExisting<PushAuthorizer> = undefined;

  /** What happens to an upgrade that no gateway of the application takes; `ignore` leaves it to other listeners. */
  @IsIn(['reject', 'ignore'])
  unmatchedUpgrade: 'reject' | 'ignore' = 'reject';

  /**
   * permessage-deflate (RFC 7692), off where absent. Messages of at least `thresholdBytes` are compressed once and the
   * frame is shared by all clients that negotiated it.
   */
  @IsOptional()
  @ValidateNested()
  compression?: Partial<CompressionOptions> = undefined;

  @IsOptional()
  @Validate(IsFunction)
  deliveryFilter?: DeliveryFilter = undefined;

  @IsOptional()
  @Validate(IsFunction)
  seriesOf?: SeriesOf = undefined;

  /** Values kept of each series for clients that come later and ask for them; 0 keeps none. */
  @IsInt()
  @Min(0)
  @Max(10_000)
  history = 1;

  /** Series kept for snapshots; over it the least recently pushed one goes. */
  @IsInt()
  @Min(1)
  maxSnapshotSeries = 100_000;

  /** JSON kept for snapshots, in characters; over it the least recently pushed series go. */
  @IsInt()
  @Min(1024)
  maxSnapshotBytes = 64 * 1024 * 1024;

  /**
   * `redis://` or `rediss://`, with user and password where Redis has them: several nodes on one Redis. Absent: one process,
   * and nothing to install.
   */
  @IsOptional()
  @IsUrl(
    { protocols: ['redis', 'rediss'], require_protocol: true, require_tld: false, allow_underscores: true },
    { message: 'redisUrl must be a URL as redis://127.0.0.1:6379 or rediss://user:password@redis.example.com:6380' },
  )
  redisUrl?: string = undefined;

  /** Begins the name of all that is kept in Redis: nodes of one prefix belong together. */
  @Matches(/^[\w.:-]{1,64}$/, { message: 'redisPrefix must be 1 to 64 letters, digits and _ . : -' })
  redisPrefix = 'push';

  /** Refuses to start where Redis does not promise to keep what it accepted: no append-only file, or keys may be evicted. */
  @IsBoolean()
  requireDurableRedis = false;

  /**
   * What makes this node not ready while it is at fault: `alarmLog`, the log cannot take alarms; `redis`, the other nodes
   * cannot be heard. All nodes of one Redis are at fault at once: a load balancer that then has none left refuses everybody.
   */
  @IsArray()
  @IsIn(['alarmLog', 'redis'], { each: true })
  readinessChecks: ReadinessCheck[] = ['alarmLog', 'redis'];

  /**
   * Where metrics go, a `Meter` of `@opentelemetry/api`. Absent: to the meter provider that the application has registered by
   * the time it starts, where it has that package; else nowhere.
   */
  @IsOptional()
  @Validate(IsMeter)
  meter?: Meter = undefined;

  /** Alarms kept: this many, */
  @IsInt()
  @Min(1)
  alarmRetention = 100_000;

  /** this long, */
  @IsInt()
  @Min(1)
  alarmRetentionHours = 168;

  /** and this many bytes. */
  @IsInt()
  @Min(65_536)
  alarmRetentionBytes = 1024 * 1024 * 1024;

  /** Folder of the alarm log, made where it is missing. Empty: alarms are kept in memory and end with the process. */
  @IsString()
  alarmLogPath = './data/alarm-log';

  /** Alarms that a durable subscription is sent beyond the last one that it acknowledged; then delivery waits. */
  @IsInt()
  @Min(1)
  @Max(100_000)
  maxUnacked = 1000;

  /** A durable subscription that was not used for this long is forgotten. */
  @IsInt()
  @Min(1)
  durableTtlHours = 168;

  /** Durable subscriptions of one user; over it 429. */
  @IsInt()
  @Min(1)
  maxDurablePerUser = 16;

  /** Durable subscriptions in all; over it 429. */
  @IsInt()
  @Min(1)
  maxDurable = 10_000;

  /** A node that shuts down is not ready any more, and goes on serving for this long: for load balancers to take it out. */
  @IsInt()
  @Min(0)
  @Max(MAX_TIMER_MS)
  drainDelayMs = 0;

  /** Then its clients are closed in even portions over at most this long, at least 100 a second; 0: all at once. */
  @IsInt()
  @Min(0)
  @Max(MAX_TIMER_MS)
  drainWindowMs = 5000;

  /** All clients are gone at the latest so long after the delay; at most half of it is `drainWindowMs`. */
  @IsInt()
  @Min(500)
  @Max(MAX_TIMER_MS)
  drainDeadlineMs = 10_000;
}

/** What `PushModule.forRoot` takes. */
export type PushModuleOptions = Partial<PushOptions>;

/** Fills in the defaults and checks everything; throws one error that lists every problem. */
export function resolvePushOptions(given: PushModuleOptions): PushOptions {
  const options = withDefaults(new PushOptions(), given);
  if (options.compression !== undefined)
    options.compression = withDefaults(new CompressionOptions(), options.compression);
  const errors = validateSync(options, { whitelist: true, forbidNonWhitelisted: true });
  const problems = [...errors.flatMap(messagesOf), ...contradictions(options)];
  if (problems.length > 0) throw new PushConfigurationError(problems);
  return options;
}

function withDefaults<T extends object>(defaults: T, given: Partial<T>): T {
  if (typeof given !== 'object' || given === null) return given;
  // Null stands for absent where absent is the default.
  const isAbsent = (name: string, value: unknown) =>
    value === undefined || (value === null && name in defaults && defaults[name as keyof T] === undefined);
  const isGiven = ([name, value]: [string, unknown]) => !isAbsent(name, value);
  return Object.assign(defaults, Object.fromEntries(Object.entries(given).filter(isGiven)));
}

function messagesOf({ property, constraints, children }: ValidationError): string[] {
  const own = Object.entries(constraints ?? {}).map(([rule, message]) =>
    rule === 'whitelistValidation' ? `${property} is not an option of PushModule` : message,
  );
  return [...own, ...(children ?? []).flatMap(messagesOf).map((message) => `${property}.${message}`)];
}

function contradictions(options: PushOptions): string[] {
  const problems: string[] = [];
  if (options.heartbeatTimeoutMs <= options.heartbeatIntervalMs) {
    problems.push('heartbeatTimeoutMs must be greater than heartbeatIntervalMs');
  }
  if (options.inFlightBytes > options.maxOutboxBytes) {
    problems.push('inFlightBytes must not be greater than maxOutboxBytes');
  }
  if (Array.isArray(options.allowedOrigins) && options.allowedOrigins.includes('*') && !options.authenticator) {
    problems.push('allowedOrigins may hold "*" only together with an authenticator');
  }
  for (const address of Array.isArray(options.trustProxy) ? options.trustProxy : []) {
    if (!isAddressRange(address)) problems.push(`trustProxy: ${JSON.stringify(address)} is no address or CIDR`);
  }
  if (isSamePath(options.rawDataPath, options.alarmPath)) {
    problems.push('alarmPath is also a rawDataPath: give each gateway a path of its own');
  }
  return problems;
}

function isAddressRange(address: unknown): boolean {
  try {
    createPeerReader([String(address)]);
    return true;
  } catch {
    return false;
  }
}

/** Whether one request path could be both. */
function isSamePath(rawDataPath: string, alarmPath: string): boolean {
  const rawData = String(rawDataPath).split('/');
  const alarm = String(alarmPath).split('/');
  return rawData.length === alarm.length && rawData.every((part, i) => part.startsWith(':') || part === alarm[i]);
}
