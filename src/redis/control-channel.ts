import {
  type ClusterMessage,
  encodeClusterMessage,
  parseClusterMessage,
  type SentClusterMessage,
} from './cluster.message.js';
import type { FaultLog } from './fault.log.js';
import type { RedisConnection } from './redis.connection.js';
import type { RedisLink } from './redis.link.js';

export interface ControlChannelOptions {
  readonly connection: RedisConnection;
  /** What other nodes sent, to all or to this one. */
  readonly onMessage: (message: SentClusterMessage) => void;
  /** It carries, or does so no more. */
  readonly onChanged: (carries: boolean) => void;
  readonly faults: FaultLog;
  readonly probeIntervalMs: number;
}

/** So many probes that do not come back, and the link is made anew. */
const MAX_UNHEARD_PROBES = 2;

/**
 * The way of commands, questions and answers, on a link that nothing else uses: a channel for all nodes, and one for each.
 * It carries if what this node sends itself comes back; a link can be open, subscribed and dead.
 */
export class ControlChannel {
  private readonly link: RedisLink;
  private readonly timer: NodeJS.Timeout;
  private readonly stops: (() => void)[];
  private isHeard = false;
  private unheardProbes = 0;
  private probes = 0;
  /** What was sent before the last loss says nothing when it comes after it. */
  private lostProbes = 0;
  private untold = 0;

  constructor(private readonly options: ControlChannelOptions) {
    const { commands } = options.connection;
    this.link = options.connection.link('control', { pings: false, forgets: true });
    this.stops = [
      this.link.onUp(() => void this.subscribe()),
      this.link.onDown(() => this.lose()),
      commands.onUp(() => this.probe()),
      commands.onDown(() => this.lose()),
    ];
    this.timer = setInterval(() => this.watch(), options.probeIntervalMs);
    this.timer.unref();
  }

  get carries(): boolean {
    return this.isHeard;
  }

  /** Messages that could not be sent since the start; probes are for this node itself. */
  get untoldCount(): number {
    return this.untold;
  }

  /** To all other nodes, or to one; at most once. */
  send(message: ClusterMessage, nodeId?: string): void {
    this.publish(message, nodeId).then(
      () => this.options.faults.succeeded('tell other nodes'),
      (cause: unknown) => {
        if (message.kind !== 'probe') this.untold += 1;
        if (this.options.connection.commands.isUp) this.options.faults.failed('tell other nodes', cause);
      },
    );
  }

  /** As {@link send}; how many nodes are there to hear it. Rejects where it cannot be sent. */
  publish(message: ClusterMessage, nodeId?: string): Promise<number> {
    const { commands, nodeId: from } = this.options.connection;
    return commands.client.publish(this.channelOf(nodeId), encodeClusterMessage(from, message));
  }

  close(): void {
    clearInterval(this.timer);
    for (const stop of this.stops) stop();
    this.isHeard = false;
    this.link.close();
  }

  private channelOf(nodeId: string | undefined): string {
    return nodeId === undefined ? this.options.connection.key('control') : this.options.connection.key('node', nodeId);
  }

  private async subscribe(): Promise<void> {
    const { client } = this.link;
    try {
      await client.subscribe([this.channelOf(undefined), this.channelOf(this.options.connection.nodeId)], this.take);
      this.options.faults.succeeded('listen to other nodes');
      this.probe();
    } catch (cause) {
      // Where the link went meanwhile it comes up again, else its silence makes it anew.
      if (this.link.isUp && client === this.link.client) this.options.faults.failed('listen to other nodes', cause);
    }
  }

  private watch(): void {
    if (!this.link.isUp || !this.options.connection.commands.isUp) {
      this.unheardProbes = 0;
    } else if (this.unheardProbes >= MAX_UNHEARD_PROBES) {
      this.unheardProbes = 0;
      this.link.restart();
    } else {
      this.unheardProbes += 1;
      this.probe();
    }
  }

  private probe(): void {
    this.probes += 1;
    this.send({ kind: 'probe', n: this.probes }, this.options.connection.nodeId);
  }

  private readonly take = (text: string): void => {
    const message = parseClusterMessage(text);
    if (message === undefined) return;
    if (message.from !== this.options.connection.nodeId) {
      this.options.onMessage(message);
    } else if (message.kind === 'probe' && message.n > this.lostProbes) {
      this.unheardProbes = 0;
      this.enter(true);
    }
  };

  private lose(): void {
    this.lostProbes = this.probes;
    this.enter(false);
  }

  private enter(isHeard: boolean): void {
    if (this.isHeard === isHeard) return;
    this.isHeard = isHeard;
    this.options.onChanged(isHeard);
  }
}
