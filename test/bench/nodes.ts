import { join } from 'node:path';
import { RedisServer } from '../support/redis.process.js';
import type { Child } from './child.js';
import { MEGABYTE, nowMicros } from './clock.js';
import { type Contender, type Dialect, type ServerKind } from './contenders.js';
import { Load, startServer } from './pair.js';
import type { ServerApi } from './servers/server.api.js';
import type { Content, Reading } from './servers/source.js';
import type { Settings } from './settings.js';

/** Nodes of one kind that are joined by Redis. */
export interface Stack {
  readonly name: string;
  readonly kind: ServerKind;
  readonly dialect: Dialect;
  /** Beside the sender and the receiver one that nobody's data are for. */
  readonly hasBystander: boolean;
}

export interface StackRound {
  readonly dataPerSecond: number;
  readonly senderMicrosPerDatum: number;
  readonly receiverMicrosPerDatum: number;
  readonly redisMicrosPerDatum: number;
  /** Of the process that holds the clients, which is none of a contender's. */
  readonly loadMicrosPerDatum: number;
  /** CPU of the node that is not interested to that of the one that is. */
  readonly bystanderShare: number | undefined;
  readonly ageP99Ms: number;
}

interface Node {
  readonly server: Child<ServerApi>;
  readonly port: number;
  readonly ackPort: number;
}

export interface NodesPlan {
  readonly content: Content;
  readonly dataPerTick: number;
  readonly ticksInFlight: number;
  readonly clients: number;
}

/** A node that pushes, one that has the clients, perhaps one beside them, and a Redis of their own. */
export class Nodes {
  private profileDirectory: string | undefined;

  private constructor(
    readonly stack: Stack,
    private readonly redis: RedisServer,
    private readonly sender: Node,
    private readonly receiver: Node,
    private readonly bystander: Node | undefined,
    private readonly load: Load,
    private readonly plan: NodesPlan,
  ) {}

  static async start(stack: Stack, plan: NodesPlan): Promise<Nodes> {
    const redis = await RedisServer.start();
    const start = (role: string, isReceiver: boolean) => startNode(stack, role, redis.url, isReceiver);
    const sender = await start('sender', false);
    const receiver = await start('receiver', true);
    const bystander = stack.hasBystander ? await start('bystander', false) : undefined;
    const load = new Load();
    await load.connect(contenderOf(stack, 'receiver', redis.url, true), receiver.port, {
      clients: plan.clients,
      sampled: plan.clients,
    });
    return new Nodes(stack, redis, sender, receiver, bystander, load, plan);
  }

  /** Pushes on one node as fast as the clients of the other get it. */
  async measure(durationMs: number): Promise<StackRound> {
    const { content, dataPerTick, ticksInFlight, clients } = this.plan;
    await this.load.child.call('forgetAges', undefined);
    await this.load.child.call('acknowledge', { port: this.sender.ackPort, every: dataPerTick * clients });
    const before = await this.cpuOfOthers();
    const begunMicros = nowMicros();
    const { from, to } = await this.sender.server.call('runTicks', {
      content,
      dataPerTick,
      ticksInFlight,
      clients,
      warmUpMs: 0,
      measureMs: durationMs,
    });
    const after = await this.cpuOfOthers();
    const [redisMicros = 0, loadMicros = 0, receiverMicros = 0, bystanderMicros] = after.map(
      (micros, i) => micros - (before[i] ?? 0),
    );
    const data = to.pushed - from.pushed;
    const ages = await this.load.ages({ fromMicros: begunMicros, toMicros: to.atMicros });
    return {
      dataPerSecond: (data / microsBetween(from, to)) * 1e6,
      senderMicrosPerDatum: (to.cpuMicros - from.cpuMicros) / data,
      receiverMicrosPerDatum: receiverMicros / data,
      redisMicrosPerDatum: redisMicros / data,
      loadMicrosPerDatum: loadMicros / data,
      bystanderShare: bystanderMicros === undefined ? undefined : bystanderMicros / receiverMicros,
      ageP99Ms: ages.p99Ms,
    };
  }

  /** Records a CPU profile of the sender and of the receiver until the end. */
  async profile({ profileDirectory }: Settings): Promise<void> {
    this.profileDirectory = profileDirectory;
    if (profileDirectory === undefined) return;
    await Promise.all([this.sender, this.receiver].map(({ server }) => server.call('startProfile', undefined)));
  }

  async end(): Promise<void> {
    await this.writeProfiles();
    const nodes = [this.sender, this.receiver, ...(this.bystander === undefined ? [] : [this.bystander])];
    await Promise.all([...nodes.map(({ server }) => server.end()), this.load.child.end()]);
    await this.redis.stop();
  }

  /** Of Redis, the load client, the receiver and the bystander, where there is one. */
  private async cpuOfOthers(): Promise<number[]> {
    const nodes = [this.receiver, ...(this.bystander === undefined ? [] : [this.bystander])];
    return Promise.all([
      redisCpuMicros(this.redis),
      this.load.totals().then(({ cpuMicros }) => cpuMicros),
      ...nodes.map(({ server }) => server.call('cpuMicros', undefined)),
    ]);
  }

  private async writeProfiles(): Promise<void> {
    const { profileDirectory } = this;
    if (profileDirectory === undefined) return;
    const pathOf = (role: string) => join(profileDirectory, `${this.stack.kind}-${role}.cpuprofile`);
    await this.sender.server.call('stopProfile', pathOf('sender'));
    await this.receiver.server.call('stopProfile', pathOf('receiver'));
  }
}

async function redisCpuMicros(redis: RedisServer): Promise<number> {
  const info = await redis.command('INFO', 'cpu');
  const seconds = ['used_cpu_sys', 'used_cpu_user'].map((name) =>
    Number(new RegExp(`${name}:([\\d.]+)`).exec(info)?.[1]),
  );
  return seconds.reduce((sum, each) => sum + each, 0) * 1e6;
}

function microsBetween(from: Reading, to: Reading): number {
  return to.atMicros - from.atMicros;
}

/** All that is on its way fits the window of a client, so that none is conflated where a node is kept waiting for the CPU. */
const CLIENT_WINDOW_BYTES = MEGABYTE;

function contenderOf({ name, kind, dialect }: Stack, role: string, redisUrl: string, isReceiver: boolean): Contender {
  const options = { inFlightBytes: CLIENT_WINDOW_BYTES };
  return { name: `${name}, ${role}`, server: { kind, redisUrl, isReceiver, options }, dialect };
}

async function startNode(stack: Stack, role: string, redisUrl: string, isReceiver: boolean): Promise<Node> {
  const contender = contenderOf(stack, role, redisUrl, isReceiver);
  const server = startServer(contender);
  const listening = await server.call('listen', contender.server);
  if ('skipped' in listening) throw new Error(`${contender.name}: ${listening.skipped}`);
  return { server, ...listening };
}
