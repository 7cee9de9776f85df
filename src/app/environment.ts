import { availableParallelism } from 'node:os';
import { Transform, plainToInstance } from 'class-transformer';
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
  ValidateIf,
  validateSync,
} from 'class-validator';
import { JwtAuthenticator } from '../access/jwt.authenticator.js';
import { isLoopbackHost } from '../access/peer.js';
import { PushConfigurationError } from '../push.errors.js';
import { type PushModuleOptions, resolvePushOptions } from '../push.options.js';

/** What is not a number or a boolean stays text, so that validation names it. */
const AsInteger = () => Transform(({ value }) => (/^-?\d+$/.test(String(value)) ? Number(value) : value));
const AsBoolean = () => Transform(({ value }) => (value === 'true' ? true : value === 'false' ? false : value));
const AsList = () =>
  Transform(({ value }) =>
    String(value)
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  );
const WORKERS = { message: 'PUSH_WORKERS must be a whole number from 1 to 256, or auto' };
const BOOLEAN = { message: '$property must be true or false' };

/**
 * The environment of the node. What is absent here has its default, range and meaning in PushOptions: the option's name
 * is the variable's in camelCase without `PUSH_`.
 */
export class Environment {
  /** TCP port; 0: any free one. */
  @AsInteger()
  @IsInt()
  @Min(0)
  @Max(65_535)
  PORT = 3000;

  /** Address to listen on. */
  @IsString()
  @IsNotEmpty()
  HOST = '127.0.0.1';

  /** Processes on this port, joined by Redis; `auto`: one for each core. */
  @AsInteger()
  @ValidateIf(({ PUSH_WORKERS }: Environment) => PUSH_WORKERS !== 'auto')
  @IsInt(WORKERS)
  @Min(1, WORKERS)
  @Max(256, WORKERS)
  PUSH_WORKERS: number | 'auto' = 1;

  /** `jwt`: a secret, or the address of the issuer's keys, is needed too. */
  @IsIn(['none', 'jwt'])
  PUSH_AUTH: 'none' | 'jwt' = 'none';

  /** Shared secret of at least 32 bytes. */
  @IsOptional()
  @IsString()
  PUSH_JWT_SECRET?: string;

  @IsOptional()
  @IsUrl({ protocols: ['https', 'http'], require_protocol: true, require_tld: false })
  PUSH_JWKS_URL?: string;

  /** Required `iss` and `aud` of every token. */
  @IsOptional()
  @IsString()
  PUSH_JWT_ISSUER?: string;

  @IsOptional()
  @IsString()
  PUSH_JWT_AUDIENCE?: string;

  /** Accept tokens in the query too, as `access_token`. */
  @AsBoolean()
  @IsBoolean(BOOLEAN)
  PUSH_JWT_QUERY_TOKEN = false;

  /** Files in PEM: the certificate with its chain, and its key. Both, or none. */
  @IsOptional()
  @IsString()
  PUSH_TLS_CERT?: string;

  @IsOptional()
  @IsString()
  PUSH_TLS_KEY?: string;

  @AsBoolean()
  @IsBoolean(BOOLEAN)
  PUSH_ALLOW_ANONYMOUS = false;

  /** Separated by commas. */
  @AsList()
  @IsArray()
  PUSH_ALLOWED_ORIGINS: string[] = [];

  /** Separated by commas. */
  @AsList()
  @IsArray()
  PUSH_TRUST_PROXY: string[] = [];

  /** Bearer key of the publish, clients and metrics routes. Absent: only this machine may use them. */
  @IsOptional()
  // RFC 6750 section 2.1: what cannot stand in an Authorization header could never be sent.
  @Matches(/^[\w.~+/-]+=*$/, { message: 'PUSH_PUBLISH_KEY may hold only letters, digits and - . _ ~ + / =' })
  PUSH_PUBLISH_KEY?: string;

  @IsOptional()
  @IsString()
  PUSH_REDIS_URL?: string;

  @IsOptional()
  @IsString()
  PUSH_REDIS_PREFIX?: string;

  @IsOptional()
  @AsBoolean()
  @IsBoolean(BOOLEAN)
  PUSH_REQUIRE_DURABLE_REDIS?: boolean;

  /** Separated by commas; `none`: nothing but start and shutdown makes the node not ready. */
  @IsOptional()
  @AsList()
  @IsArray()
  PUSH_READINESS_CHECKS?: string[];

  /** Folder; empty: alarms are kept in memory. */
  @IsOptional()
  @IsString()
  PUSH_ALARM_LOG_PATH?: string;

  @IsOptional()
  @AsInteger()
  @IsInt()
  PUSH_ALARM_RETENTION?: number;

  @IsOptional()
  @AsInteger()
  @IsInt()
  PUSH_ALARM_RETENTION_HOURS?: number;

  @IsOptional()
  @AsInteger()
  @IsInt()
  PUSH_ALARM_RETENTION_BYTES?: number;

  @IsOptional()
  @AsInteger()
  @IsInt()
  PUSH_FLUSH_INTERVAL_MS?: number;

  @IsOptional()
  @AsInteger()
  @IsInt()
  PUSH_IN_FLIGHT_BYTES?: number;

  @IsOptional()
  @AsInteger()
  @IsInt()
  PUSH_MAX_CONNECTIONS?: number;

  @IsOptional()
  @AsInteger()
  @IsInt()
  PUSH_MAX_CONNECTIONS_PER_IP?: number;

  @IsOptional()
  @AsInteger()
  @IsInt()
  PUSH_DRAIN_DELAY_MS?: number;

  @IsOptional()
  @AsInteger()
  @IsInt()
  PUSH_DRAIN_WINDOW_MS?: number;

  @IsOptional()
  @AsInteger()
  @IsInt()
  PUSH_DRAIN_DEADLINE_MS?: number;

  /** Host telemetry and the dashboard. Absent: with PUSH_AUTH=none only. */
  @IsOptional()
  @AsBoolean()
  @IsBoolean(BOOLEAN)
  PUSH_DEMO?: boolean;

  /** The HTTP routes as a page and as OpenAPI. Absent: with PUSH_AUTH=none only. */
  @IsOptional()
  @AsBoolean()
  @IsBoolean(BOOLEAN)
  PUSH_DOCS?: boolean;

  get workerCount(): number {
    return this.PUSH_WORKERS === 'auto' ? availableParallelism() : this.PUSH_WORKERS;
  }

  get isDemo(): boolean {
    return this.PUSH_DEMO ?? this.PUSH_AUTH === 'none';
  }

  get hasDocs(): boolean {
    return this.PUSH_DOCS ?? this.PUSH_AUTH === 'none';
  }
}

/** The environment cannot be used; `problems` lists everything that is wrong with it. */
export class EnvironmentError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`the environment cannot be used:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.name = 'EnvironmentError';
  }
}

/**
 * Reads the variables that are known and ignores all others; an empty one counts as absent, but for
 * `PUSH_ALARM_LOG_PATH`. Throws {@link EnvironmentError} with every problem at once.
 */
export function validateEnvironment(variables: Readonly<Record<string, string | undefined>>): Environment {
  const given = Object.fromEntries(Object.entries(variables).filter(isGiven));
  const environment = plainToInstance(Environment, given, { exposeDefaultValues: true });
  const faults = validateSync(environment, { whitelist: true, stopAtFirstError: true });
  const problems = faults.flatMap(({ constraints }) => Object.values(constraints ?? {}));
  if (problems.length === 0) problems.push(...contradictions(environment));
  if (problems.length > 0) throw new EnvironmentError(problems);
  return environment;
}

function isGiven([name, text]: [string, string | undefined]): boolean {
  return text !== undefined && (text !== '' || name === 'PUSH_ALARM_LOG_PATH');
}

/** The part of the environment that is the module's. */
export function pushOptionsOf(environment: Environment): PushModuleOptions {
  return {
    authenticator: authenticatorOf(environment),
    allowAnonymous: environment.PUSH_ALLOW_ANONYMOUS,
    allowedOrigins: environment.PUSH_ALLOWED_ORIGINS,
    trustProxy: environment.PUSH_TRUST_PROXY,
    redisUrl: environment.PUSH_REDIS_URL,
    redisPrefix: environment.PUSH_REDIS_PREFIX,
    requireDurableRedis: environment.PUSH_REQUIRE_DURABLE_REDIS,
    readinessChecks: readinessChecksOf(environment),
    alarmLogPath: environment.PUSH_ALARM_LOG_PATH,
    alarmRetention: environment.PUSH_ALARM_RETENTION,
    alarmRetentionHours: environment.PUSH_ALARM_RETENTION_HOURS,
    alarmRetentionBytes: environment.PUSH_ALARM_RETENTION_BYTES,
    flushIntervalMs: environment.PUSH_FLUSH_INTERVAL_MS,
    inFlightBytes: environment.PUSH_IN_FLIGHT_BYTES,
    maxConnections: environment.PUSH_MAX_CONNECTIONS,
    maxConnectionsPerIp: environment.PUSH_MAX_CONNECTIONS_PER_IP,
    drainDelayMs: environment.PUSH_DRAIN_DELAY_MS,
    drainWindowMs: environment.PUSH_DRAIN_WINDOW_MS,
    drainDeadlineMs: environment.PUSH_DRAIN_DEADLINE_MS,
  };
}

/** What is no check is left for the module to name. */
function readinessChecksOf({ PUSH_READINESS_CHECKS: checks }: Environment): PushModuleOptions['readinessChecks'] {
  return (checks?.join() === 'none' ? [] : checks) as PushModuleOptions['readinessChecks'];
}

function authenticatorOf({ PUSH_AUTH, ...environment }: Environment): JwtAuthenticator | undefined {
  if (PUSH_AUTH === 'none') return undefined;
  return new JwtAuthenticator({
    secret: environment.PUSH_JWT_SECRET,
    jwksUrl: environment.PUSH_JWKS_URL,
    issuer: environment.PUSH_JWT_ISSUER,
    audience: environment.PUSH_JWT_AUDIENCE,
    acceptsQueryToken: environment.PUSH_JWT_QUERY_TOKEN,
  });
}

function contradictions(environment: Environment): string[] {
  const problems = [...jwtProblems(environment), ...tlsProblems(environment), ...workerProblems(environment)];
  if (problems.length > 0) return problems;
  const isLocal = isLoopbackHost(environment.HOST) || environment.HOST === '::1';
  if (!isLocal && environment.PUSH_AUTH === 'none' && !environment.PUSH_ALLOW_ANONYMOUS) {
    problems.push(
      `HOST=${environment.HOST} lets other machines connect, but PUSH_AUTH=none lets nobody but this machine in: ` +
        'set PUSH_ALLOW_ANONYMOUS=true where everybody on that network may see everything',
    );
  }
  return [...problems, ...pushProblems(pushOptionsOf(environment))];
}

function jwtProblems({ PUSH_AUTH, PUSH_JWT_SECRET, PUSH_JWKS_URL }: Environment): string[] {
  if (PUSH_AUTH !== 'jwt') {
    const isMeant = PUSH_JWT_SECRET !== undefined || PUSH_JWKS_URL !== undefined;
    return isMeant ? ['PUSH_JWT_SECRET and PUSH_JWKS_URL need PUSH_AUTH=jwt'] : [];
  }
  if ((PUSH_JWT_SECRET === undefined) === (PUSH_JWKS_URL === undefined)) {
    return ['PUSH_AUTH=jwt needs either PUSH_JWT_SECRET or PUSH_JWKS_URL'];
  }
  const isShort = PUSH_JWT_SECRET !== undefined && Buffer.byteLength(PUSH_JWT_SECRET) < 32;
  return isShort ? ['PUSH_JWT_SECRET must have at least 32 bytes'] : [];
}

function workerProblems({ PUSH_WORKERS, PUSH_REDIS_URL, workerCount }: Environment): string[] {
  if (workerCount === 1 || PUSH_REDIS_URL !== undefined) return [];
  return [
    `PUSH_WORKERS=${PUSH_WORKERS} needs PUSH_REDIS_URL: each worker is a node with clients of its own, and only Redis carries ` +
      'what is pushed on one of them to the others',
  ];
}

function tlsProblems({ PUSH_TLS_CERT, PUSH_TLS_KEY }: Environment): string[] {
  return (PUSH_TLS_CERT === undefined) === (PUSH_TLS_KEY === undefined)
    ? []
    : ['PUSH_TLS_CERT and PUSH_TLS_KEY belong together: set both or none'];
}

/** What the module would refuse later, told in the names of the variables. */
function pushProblems(options: PushModuleOptions): string[] {
  try {
    resolvePushOptions(options);
    return [];
  } catch (cause) {
    if (!(cause instanceof PushConfigurationError)) throw cause;
    const names = new RegExp(`\\b(${Object.keys(options).join('|')})\\b`, 'g');
    return cause.problems.map((problem) => problem.replace(names, variableOf));
  }
}

/** `flushIntervalMs` → `PUSH_FLUSH_INTERVAL_MS` */
function variableOf(option: string): string {
  return `PUSH_${option.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}
