import type { RedisClientType } from 'redis';
import { RedisDeadlineError, withinMs } from './deadline.js';

/** node-redis' client, of the default types: RESP 3, no modules, no scripts of its own. */
export type RedisClient = RedisClientType;

export type LinkState = 'up' | 'down' | 'closed';

/** How often a link asks whether Redis still answers, and how long it waits for that. */
const PING_INTERVAL_MS = 2000;
const PING_DEADLINE_MS = 4000;
/** From the connect to Redis' answer to who we are; node-redis would wait as long as the kernel does. */
const HANDSHAKE_DEADLINE_MS = 5000;
/** How long a link that has come to a replica waits before it connects again. */
const REPLICA_RETRY_MS = 500;

export interface RedisLinkOptions {
  /** Makes a client that is not connected yet. */
  readonly create: () => RedisClient;
  /** Every error of the connection; Redis away is one a try. */
  readonly onError: (cause: Error) => void;
  /**
   * Pings, so that a Redis that takes what is written and answers nothing is found; node-redis calls that ready. Not for
   * connections that block or subscribe: whoever uses those has to look after them, by {@link RedisLink.restart}.
   */
  readonly pings: boolean;
  /**
   * Begins with a new client after each loss: nothing is subscribed to then, in the place of what node-redis thinks was.
   * Default false.
   */
  readonly forgets?: boolean;
}

class ReplicaError extends Error {
  constructor() {
    super('it is a replica, which takes no writes');
    this.name = 'ReplicaError';
  }
}

/**
 * One connection to a primary of Redis for the life of the process: node-redis connects it again after it was lost, and
 * {@link restart} replaces it where it is open and dead. Nothing is queued while it is down. A primary that becomes a replica
 * keeps its connections, while its address leads to another one by then, or soon: only a new connection gets there.
 */
export class RedisLink {
  private currentClient: RedisClient;
  private currentState: LinkState = 'down';
  private readonly upListeners = new Set<() => void>();
  private readonly downListeners = new Set<() => void>();
  private timer: NodeJS.Timeout | undefined;
  private handshake: NodeJS.Timeout | undefined;
  private isPinging = false;

  constructor(private readonly options: RedisLinkOptions) {
    this.currentClient = this.start();
    if (options.pings) {
      this.timer = setInterval(() => void this.ping(), PING_INTERVAL_MS);
      this.timer.unref();
    }
  }

  /** The client of now; commands reject at once while the link is down. Another one after a {@link restart}. */
  get client(): RedisClient {
    return this.currentClient;
  }

  get state(): LinkState {
    return this.currentState;
  }

  get isUp(): boolean {
    return this.currentState === 'up';
  }

  /** Called each time the link is up again, with the first time if it is not up yet. The returned function ends that. */
  onUp(listener: () => void): () => void {
    this.upListeners.add(listener);
    return () => this.upListeners.delete(listener);
  }

  /** Called each time the link is lost. The returned function ends that. */
  onDown(listener: () => void): () => void {
    this.downListeners.add(listener);
    return () => this.downListeners.delete(listener);
  }

  /** Gives the connection up and makes a new one; what was written and not answered rejects. */
  restart(): void {
    if (this.currentState === 'closed') return;
    this.enter('down');
    this.currentClient.destroy();
    this.currentClient = this.start();
  }

  /** As {@link restart}, where this is a connection to a replica by now. Those that ping find that by themselves. */
  async leaveReplica(): Promise<void> {
    if (!this.isUp) return;
    const client = this.currentClient;
    try {
      await requirePrimary(client);
    } catch (cause) {
      if (client === this.currentClient && cause instanceof ReplicaError) this.restart();
    }
  }

  /** Ends the connection at once, also in the midst of a blocking command. */
  close(): void {
    if (this.currentState === 'closed') return;
    this.enter('closed');
    clearInterval(this.timer);
    clearTimeout(this.handshake);
    this.currentClient.destroy();
  }

  private start(): RedisClient {
    const client = this.options.create();
    const isCurrent = () => client === this.currentClient && this.currentState !== 'closed';
    client.on('error', (cause: Error) => {
      if (!isCurrent()) return;
      this.options.onError(cause);
      clearTimeout(this.handshake);
      // Still ready: what came was not understood, and nobody knows what the next answer belongs to.
      if (client.isReady || (this.isUp && this.options.forgets === true)) this.restart();
      else this.enter('down');
    });
    client.on('reconnecting', () => isCurrent() && this.enter('down'));
    client.on('connect', () => {
      // One that was given up while it connected would stay open for ever.
      if (isCurrent()) this.awaitHandshake();
      else client.destroy();
    });
    client.on('ready', () => isCurrent() && void this.greet(client));
    // It goes on trying by itself; what ends that is `destroy`, and then nobody waits for it.
    client.connect().catch((cause: unknown) => {
      if (isCurrent() && cause instanceof Error) this.options.onError(cause);
    });
    return client;
  }

  private awaitHandshake(): void {
    this.restartIn(HANDSHAKE_DEADLINE_MS, () => this.options.onError(new RedisDeadlineError(HANDSHAKE_DEADLINE_MS)));
  }

  /** Where the link is not up by then. */
  private restartIn(ms: number, before = () => {}): void {
    clearTimeout(this.handshake);
    this.handshake = setTimeout(() => {
      before();
      this.restart();
    }, ms);
    this.handshake.unref();
  }

  private async greet(client: RedisClient): Promise<void> {
    try {
      await requirePrimary(client);
      if (client === this.currentClient) this.enter('up');
    } catch (cause) {
      // What else went wrong is an error of the connection, or takes too long.
      if (client !== this.currentClient || !(cause instanceof ReplicaError)) return;
      this.options.onError(cause);
      this.restartIn(REPLICA_RETRY_MS);
    }
  }

  private enter(state: LinkState): void {
    if (this.currentState === state || this.currentState === 'closed') return;
    const wasUp = this.currentState === 'up';
    this.currentState = state;
    if (state === 'up') clearTimeout(this.handshake);
    if (state === 'up') for (const listener of this.upListeners) listener();
    else if (wasUp) for (const listener of this.downListeners) listener();
  }

  private async ping(): Promise<void> {
    if (!this.isUp || this.isPinging) return;
    this.isPinging = true;
    const client = this.currentClient;
    try {
      await withinMs(Promise.all([client.ping(), requirePrimary(client)]), PING_DEADLINE_MS);
    } catch (cause) {
      if (client !== this.currentClient || this.currentState !== 'up') return;
      this.options.onError(cause instanceof Error ? cause : new Error(String(cause)));
      this.restart();
    } finally {
      this.isPinging = false;
    }
  }
}

/** By HELLO, which every user may say. */
async function requirePrimary(client: RedisClient): Promise<void> {
  const { role } = await client.hello(3);
  if (role === 'replica') throw new ReplicaError();
}
