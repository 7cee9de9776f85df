import { randomBytes } from 'node:crypto';
import { reasonOf } from '../push.causes.js';
import { PushConfigurationError } from '../push.errors.js';
import { withinMs } from './deadline.js';
import { type RedisClient, RedisLink, type RedisLinkOptions } from './redis.link.js';
import type { RedisScript } from './redis.script.js';

export interface RedisConnectionOptions {
  /** `redis://` or `rediss://`, with user and password where Redis has them. */
  readonly url: string;
  /** Begins every key and every channel; nodes of one prefix belong together. */
  readonly prefix: string;
  /** What went wrong with a connection, without the password; told once of each connection until it is up again. */
  readonly onError?: (message: string) => void;
  /** How long {@link RedisConnection.open} waits for Redis. Default 10,000. */
  readonly openDeadlineMs?: number;
}

const OPEN_DEADLINE_MS = 10_000;
const CONNECT_TIMEOUT_MS = 3000;
const MIN_RETRY_MS = 50;
const MAX_RETRY_MS = 1000;

/** This node's way to Redis: the link for commands, and links of their own for whoever blocks or subscribes. */
export class RedisConnection {
  /** Names this process among the nodes; another one after each start. */
  readonly nodeId = randomBytes(9).toString('base64url');
  readonly commands: RedisLink;
  private readonly links = new Set<RedisLink>();

  private constructor(
    private readonly create: (clientName: string) => RedisClient,
    private readonly options: RedisConnectionOptions,
  ) {
    this.commands = this.link('commands', { pings: true });
    this.commands.onUp(() => {
      for (const link of this.links) void link.leaveReplica();
    });
  }

  /** Throws {@link PushConfigurationError} where the URL or the package is missing, or Redis does not answer in time. */
  static async open(options: RedisConnectionOptions): Promise<RedisConnection> {
    const connection = new RedisConnection(await clientFactory(options), options);
    const { openDeadlineMs = OPEN_DEADLINE_MS } = options;
    const isUp = new Promise<void>((resolve) => {
      const stop = connection.commands.onUp(() => {
        stop();
        resolve();
      });
    });
    try {
      await withinMs(isUp, openDeadlineMs);
      return connection;
    } catch {
      const why = connection.lastError === undefined ? '' : `: ${connection.lastError}`;
      connection.close();
      throw new PushConfigurationError([`Redis at ${placeOf(options.url)} was not reached in time${why}`]);
    }
  }

  lastError: string | undefined;

  /** A key or a channel; the braces keep all keys of one prefix in one slot of a cluster, as scripts need it. */
  key(...parts: readonly string[]): string {
    return `{${this.options.prefix}}:${parts.join(':')}`;
  }

  /** A connection of its own; closed with this. */
  link(clientName: string, traits: Pick<RedisLinkOptions, 'pings' | 'forgets'>): RedisLink {
    let isTold = false;
    const link = new RedisLink({
      create: () => this.create(`push-gateway-${clientName}`),
      onError: (cause) => {
        if (!isTold) this.report(clientName, cause);
        isTold = true;
      },
      ...traits,
    });
    link.onUp(() => (isTold = false));
    this.links.add(link);
    return link;
  }

  /** Runs a script on the link for commands. Rejects at once where that is down; the caller sets the deadline. */
  async run(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return script.run(this.commands.client, keys, args);
  }

  close(): void {
    for (const link of this.links) link.close();
  }

  private report(clientName: string, cause: Error): void {
    this.lastError = reasonOf(cause);
    this.options.onError?.(
      `Redis at ${placeOf(this.options.url)}, the connection for ${clientName}: ${this.lastError}`,
    );
  }
}

/**
 * `redis` is loaded only where it is used. Its `createClient` makes a class of all commands for each set of options, in 50 ms of the
 * event loop and a megabyte; of one factory all clients share theirs.
 */
async function clientFactory({ url }: RedisConnectionOptions): Promise<(clientName: string) => RedisClient> {
  const { RedisClient } = await loadRedis();
  const create = RedisClient.factory();
  const isTls = url.startsWith('rediss:');
  return (clientName) =>
    create({
      url,
      name: clientName,
      disableOfflineQueue: true,
      // It ends with the write, so it guards nothing that the callers' deadlines do not, and makes a timer for each command.
      commandOptions: { timeout: undefined },
      socket: {
        ...(isTls ? { tls: true as const } : {}),
        connectTimeout: CONNECT_TIMEOUT_MS,
        reconnectStrategy: (retries) => Math.min(MIN_RETRY_MS * 2 ** retries, MAX_RETRY_MS) * (0.5 + Math.random() / 2),
      },
    }) as unknown as RedisClient;
}

async function loadRedis(): Promise<typeof import('redis')> {
  try {
    return await import('redis');
  } catch (cause) {
    throw new PushConfigurationError([
      `redisUrl needs the package "redis", version 6: npm install redis (${reasonOf(cause)})`,
    ]);
  }
}

/** Host and port alone: the rest may hold a password. */
function placeOf(url: string): string {
  return new URL(url).host;
}
