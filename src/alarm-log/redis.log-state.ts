import { randomBytes } from 'node:crypto';
import { reasonOf } from '../push.causes.js';
import { withinMs } from '../redis/deadline.js';
import type { RedisConnection } from '../redis/redis.connection.js';
import { arrayOf } from '../redis/redis.reply.js';
import type { RedisScript } from '../redis/redis.script.js';
import type { LogBounds } from './alarm-log.js';
import { STATE_SCRIPT } from './redis.alarm-log.scripts.js';

export interface LogAnswer {
  /** Of the log when it answered. */
  readonly epoch: string;
  /** What the script gives behind the bounds. */
  readonly values: readonly unknown[];
}

/** An alarm: its offset may be that of another one, where Redis has lost it. */
interface KnownAlarm {
  readonly offset: number;
  /** Of the append that stored it; empty: the log had no alarm. */
  readonly stamp: string;
}

/** The latest epochs, whose newest alarm is remembered: one of them may come back, out of a backup. */
const MAX_KNOWN_EPOCHS = 16;

/**
 * What this node knows of the log in Redis. All scripts of the log go through here, over one link, so that answers come
 * in the order in which Redis gave them.
 */
export class RedisLogState {
  /** The alarms. */
  readonly streamKey: string;
  private readonly keys: readonly string[];
  private readonly listeners = new Set<() => void>();
  /** Of each epoch the newest alarm that this node has seen; the latest epoch last. */
  private readonly known = new Map<string, KnownAlarm>();
  /** Names the log where it has to begin anew. */
  private candidate = randomName();
  private answerFault: string | undefined;

  private constructor(
    private readonly connection: RedisConnection,
    private readonly deadlineMs: number,
    private current: LogBounds = { epoch: '', oldest: 1, newest: 0 },
  ) {
    this.streamKey = connection.key('alarms');
    const others = ['head', 'events', 'conditions', 'outlived'].map((part) => connection.key('alarms', part));
    this.keys = [this.streamKey, ...others];
  }

  static async open(connection: RedisConnection, deadlineMs: number): Promise<RedisLogState> {
    const state = new RedisLogState(connection, deadlineMs);
    await state.ask(STATE_SCRIPT);
    return state;
  }

  /** Why Redis did not answer the last time, or cannot now. */
  get fault(): string | undefined {
    return this.connection.commands.isUp ? this.answerFault : 'Redis is not reached';
  }

  get bounds(): LogBounds {
    return this.current;
  }

  onAppended(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  stop(): void {
    this.listeners.clear();
  }

  /** Runs a script of the log, whose answer has to come within the deadline. */
  async ask(script: RedisScript, ...own: readonly (string | number)[]): Promise<LogAnswer> {
    try {
      return await withinMs(this.run(script, ...own), this.deadlineMs);
    } catch (cause) {
      this.answerFault = reasonOf(cause);
      throw cause;
    }
  }

  /** As {@link ask}, for whoever can wait until the link is given up. The bounds in the answer count from then on. */
  async run(script: RedisScript, ...own: readonly (string | number)[]): Promise<LogAnswer> {
    const known = [...this.known].flatMap(([epoch, { offset, stamp }]) => [epoch, String(offset), stamp]);
    const parameters = [this.candidate, String(this.known.size), ...known, ...own.map(String)];
    const answer = arrayOf(await this.connection.run(script, this.keys, parameters));
    const [epoch, oldest, newest, stamp, ...values] = answer;
    this.answerFault = undefined;
    this.learn({ epoch: String(epoch), oldest: Number(oldest), newest: Number(newest) }, String(stamp));
    return { epoch: String(epoch), values };
  }

  /** An answer that had to be asked for twice may come after a later one: within an epoch nothing goes back. */
  private learn(told: LogBounds, stamp: string): void {
    const { epoch } = told;
    const { current } = this;
    const isNewEpoch = epoch !== current.epoch;
    if (epoch === this.candidate) this.candidate = randomName();
    this.remember(epoch, { offset: told.newest, stamp });
    this.current = isNewEpoch
      ? told
      : { epoch, oldest: Math.max(told.oldest, current.oldest), newest: Math.max(told.newest, current.newest) };
    if (isNewEpoch || told.newest > current.newest) for (const listener of this.listeners) listener();
  }

  private remember(epoch: string, told: KnownAlarm): void {
    const before = this.known.get(epoch);
    this.known.delete(epoch);
    this.known.set(epoch, before !== undefined && before.offset > told.offset ? before : told);
    const [oldestKnown = epoch] = this.known.keys();
    if (this.known.size > MAX_KNOWN_EPOCHS) this.known.delete(oldestKnown);
  }
}

/** Nothing else, on whichever node, has the same. */
export function randomName(): string {
  return randomBytes(9).toString('base64url');
}
