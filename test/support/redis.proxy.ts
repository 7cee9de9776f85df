import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  readonly client: Socket;
  readonly redis: Socket;
  /** What the client has told Redis about itself, its name among it. */
  greeting: string;
}

/** Between a node and Redis: connections through it can fall silent and stay open, and later ones lead to another Redis. */
export class RedisProxy {
  private readonly pairs = new Set<Pair>();
  /** Connections that were made until now. */
  connectionCount = 0;

  private constructor(
    private readonly server: Server,
    private redisPort: number,
  ) {}

  static async start(redisPort: number): Promise<RedisProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new RedisProxy(server, redisPort);
    server.on('connection', (client) => proxy.join(client, createConnection(proxy.redisPort, '127.0.0.1')));
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Connections of this name carry nothing more, in either direction; those that are made later do. */
  silence(clientName: string): number {
    const meant = this.pairsOf(clientName);
    for (const { client, redis } of meant) {
      client.unpipe(redis).pause();
      redis.unpipe(client).pause();
    }
    return meant.length;
  }

  /** What was silenced goes on where it was. */
  release(clientName: string): void {
    for (const { client, redis } of this.pairsOf(clientName)) {
      client.pipe(redis);
      redis.pipe(client);
    }
  }

  /** Connections that are made from now on go there. */
  lead(redisPort: number): void {
    this.redisPort = redisPort;
  }

  /** Ends all connections of now, or those of this name. */
  cut(clientName = ''): void {
    for (const { client, redis } of this.pairsOf(clientName)) {
      client.destroy();
      redis.destroy();
    }
  }

  stop(): void {
    this.server.close();
    this.cut();
  }

  private pairsOf(clientName: string): Pair[] {
    return [...this.pairs].filter(({ greeting }) => greeting.includes(clientName));
  }

  private join(client: Socket, redis: Socket): void {
    this.connectionCount += 1;
    const pair = { client, redis, greeting: '' };
    this.pairs.add(pair);
    client.on('data', (chunk: Buffer) => {
      if (pair.greeting.length < 4096) pair.greeting += chunk.toString();
    });
    client.pipe(redis);
    redis.pipe(client);
    for (const socket of [client, redis]) {
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.pairs.delete(pair);
        client.destroy();
        redis.destroy();
      });
    }
  }
}
