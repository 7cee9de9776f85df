import { setTimeout as sleep } from 'node:timers/promises';
import { RedisDeadlineError, withinMs } from '../redis/deadline.js';
import type { RedisLink } from '../redis/redis.link.js';

/** Redis says so often at least that nothing was appended; what is not told by a new alarm is noticed then. */
const BLOCK_MS = 1000;
/** Beyond that a link that is open is taken for dead. */
const ANSWER_DEADLINE_MS = 4000;
/** So long a wait gathers what is appended one after the other. */
const GATHER_MS = 2;
const IDLE_MS = 500;

export interface RedisLogTailOptions {
  /** A link of its own: it blocks. */
  readonly link: RedisLink;
  readonly streamKey: string;
  /** Offset of the newest alarm that this node knows. */
  readonly newest: () => number;
  /** Asks the log where it is; never rejects. */
  readonly look: () => Promise<unknown>;
}

/**
 * Has the log looked at as soon as another node has appended, and every second at the latest: a blocked read never
 * notices that the log was emptied or began anew.
 */
export class RedisLogTail {
  private readonly ended = new AbortController();
  private readonly running: Promise<void>;

  constructor(private readonly options: RedisLogTailOptions) {
    this.running = this.run();
  }

  async close(): Promise<void> {
    this.ended.abort();
    this.options.link.close();
    await this.running;
  }

  private get isEnded(): boolean {
    return this.ended.signal.aborted;
  }

  private async run(): Promise<void> {
    const { newest, look } = this.options;
    while (!this.isEnded) {
      const before = newest();
      const isWoken = await this.wait(before);
      if (this.isEnded) return;
      await look();
      // Woken by something that is no alarm: it would be again, at once.
      await this.pause(isWoken && newest() === before ? IDLE_MS : GATHER_MS);
    }
  }

  /** True: there is something behind this offset. */
  private async wait(offset: number): Promise<boolean> {
    const { link, streamKey } = this.options;
    try {
      const words = ['XREAD', 'BLOCK', String(BLOCK_MS), 'COUNT', '1', 'STREAMS', streamKey, `${offset}-0`];
      const answer = await withinMs<unknown>(link.client.sendCommand(words), BLOCK_MS + ANSWER_DEADLINE_MS);
      return answer !== null;
    } catch (cause) {
      if (cause instanceof RedisDeadlineError) link.restart();
      await this.pause(IDLE_MS);
      return false;
    }
  }

  private async pause(ms: number): Promise<void> {
    // Rejects where it is ended, and then there is nothing to wait for.
    await sleep(ms, undefined, { signal: this.ended.signal, ref: false }).catch(() => {});
  }
}
