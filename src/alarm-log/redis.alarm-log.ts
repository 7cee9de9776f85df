import { reasonOf } from '../push.causes.js';
import { AlarmNotAcceptedError, PushConfigurationError } from '../push.errors.js';
import { withinMs } from '../redis/deadline.js';
import type { RedisConnection } from '../redis/redis.connection.js';
import { arrayOf } from '../redis/redis.reply.js';
import type { AlarmEntry, AlarmLog, AppendReceipt, LogBounds, NewAlarm } from './alarm-log.js';
import { type AlarmRetention, PAGE_BYTES } from './alarm-log.rules.js';
import {
  ACTIVE_SCRIPT,
  APPEND_SCRIPT,
  PROBE_SCRIPT,
  READ_SCRIPT,
  RIGHTS_SCRIPT,
  STATE_SCRIPT,
  TRIM_SCRIPT,
} from './redis.alarm-log.scripts.js';
import { entriesIn, outcomeOf, wordsOf } from './redis.alarm-log.words.js';
import { readDurability, type RedisDurability } from './redis.durability.js';
import { AppendQueue, type AppendOutcome } from './redis.append-queue.js';
import { randomName, RedisLogState } from './redis.log-state.js';
import { RedisLogTail } from './redis.log-tail.js';

const HOUR_MS = 3_600_000;
/** From the call of `append` to its end, and for every other answer. */
const DEADLINE_MS = 5000;
/** How many alarms one call of the script removes at most; Redis serves nobody else meanwhile. */
const TRIM_STEP = 500;

const DEFAULTS = { requireDurable: false, onWarning: () => {}, now: Date.now, lookAfterIntervalMs: 10_000 };

export interface RedisAlarmLogOptions {
  /** Shared with others; who opened it closes it, after the log. */
  readonly connection: RedisConnection;
  readonly retention: AlarmRetention;
  /** Refuses to open where Redis may lose what it has accepted. Default false. */
  readonly requireDurable?: boolean;
  /** How accepted alarms may be lost, and what to change; told again when it changes. */
  readonly onWarning?: (message: string) => void;
  readonly now?: () => number;
  /** How often what is too old is looked for, and what Redis promises. Default 10,000. */
  readonly lookAfterIntervalMs?: number;
}

/** The alarm log of all nodes of one prefix, in Redis: what they have to agree on is decided there, by scripts. */
export class RedisAlarmLog implements AlarmLog {
  private readonly queue: AppendQueue;
  private readonly tail: RedisLogTail;
  private readonly timer: NodeJS.Timeout;
  private readonly stopListening: () => void;
  private writeFault: string | undefined;
  private trimming: Promise<number> | undefined;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly options: Required<RedisAlarmLogOptions>,
    private readonly state: RedisLogState,
    private durability: RedisDurability,
  ) {
    const { connection } = options;
    this.queue = new AppendQueue({
      store: (batches) => this.store(batches),
      deadlineMs: DEADLINE_MS,
      onOutcome: (fault) => (this.writeFault = fault),
    });
    this.tail = new RedisLogTail({
      link: connection.link('alarms', { pings: false }),
      streamKey: state.streamKey,
      newest: () => state.bounds.newest,
      look: () => this.look(),
    });
    this.stopListening = connection.commands.onUp(() => void this.look());
    this.timer = setInterval(() => this.lookAfter(), options.lookAfterIntervalMs);
    this.timer.unref();
    this.warn();
  }

  /** Throws {@link PushConfigurationError} where Redis cannot be used for it. */
  static async open(given: RedisAlarmLogOptions): Promise<RedisAlarmLog> {
    const options = { ...DEFAULTS, ...given };
    try {
      const durability = await withinMs(openingCheck(options), DEADLINE_MS);
      return new RedisAlarmLog(options, await RedisLogState.open(options.connection, DEADLINE_MS), durability);
    } catch (cause) {
      if (cause instanceof PushConfigurationError) throw cause;
      throw new PushConfigurationError([`the alarm log in Redis cannot be opened: ${reasonOf(cause)}`]);
    }
  }

  get isDurable(): boolean {
    return this.durability.losses.length === 0;
  }

  get fault(): string | undefined {
    return this.state.fault ?? this.writeFault;
  }

  async append(alarms: readonly NewAlarm[]): Promise<AppendReceipt[]> {
    this.checkIsOpen();
    return alarms.length === 0 ? [] : this.queue.append(alarms);
  }

  async read(afterOffset: number, limit: number): Promise<AlarmEntry[]> {
    return entriesIn(await this.state.ask(READ_SCRIPT, afterOffset, limit, PAGE_BYTES));
  }

  async active(): Promise<AlarmEntry[]> {
    return entriesIn(await this.state.ask(ACTIVE_SCRIPT)).toSorted((a, b) => a.offset - b.offset);
  }

  bounds(): LogBounds {
    return this.state.bounds;
  }

  async refresh(): Promise<LogBounds> {
    await this.state.ask(STATE_SCRIPT);
    return this.state.bounds;
  }

  onAppended(listener: () => void): () => void {
    return this.state.onAppended(listener);
  }

  trim(): Promise<number> {
    this.trimming ??= this.trimInSteps().finally(() => (this.trimming = undefined));
    return this.trimming;
  }

  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    clearInterval(this.timer);
    this.stopListening();
    this.state.stop();
    await this.queue.whenIdle();
    // Its outcome is its caller's; here it only has to be over.
    if (this.trimming !== undefined) await Promise.allSettled([this.trimming]);
    await this.tail.close();
  }

  private checkIsOpen(): void {
    if (this.closing !== undefined) throw new AlarmNotAcceptedError('rejected', 'the alarm log is closed');
  }

  private async store(batches: readonly (readonly NewAlarm[])[]): Promise<AppendOutcome[]> {
    const { count, bytes } = this.options.retention;
    const alarms = batches.flatMap((batch) => [batch.length, ...batch.flatMap(wordsOf)]);
    const { epoch, values } = await this.state.run(
      APPEND_SCRIPT,
      this.options.now(),
      randomName(),
      count,
      bytes,
      batches.length,
      ...alarms,
    );
    const results = arrayOf(values[0]);
    return batches.map((batch, index) => outcomeOf(batch, epoch, arrayOf(results[index])));
  }

  private async trimInSteps(): Promise<number> {
    const { count, bytes, hours } = this.options.retention;
    let total = 0;
    for (;;) {
      this.checkIsOpen();
      const oldestKeptMs = this.options.now() - hours * HOUR_MS;
      const { values } = await this.state.ask(TRIM_SCRIPT, count, bytes, oldestKeptMs, TRIM_STEP);
      const removed = Number(values[0]);
      total += removed;
      if (removed < TRIM_STEP) return total;
    }
  }

  private lookAfter(): void {
    this.trim().catch((cause: unknown) => (this.writeFault = reasonOf(cause)));
    this.checkDurability().catch((cause: unknown) => (this.writeFault ??= reasonOf(cause)));
  }

  /** Settings can change while Redis runs, or another Redis have taken its place. */
  private async checkDurability(): Promise<void> {
    const before = warningsOf(this.durability).join();
    this.durability = await withinMs(readDurability(this.options.connection.commands.client), DEADLINE_MS);
    if (warningsOf(this.durability).join() !== before) this.warn();
  }

  private warn(): void {
    for (const warning of warningsOf(this.durability)) this.options.onWarning(warning);
  }

  /** Finds what others have appended, and whether alarms are taken again. Never rejects: `fault` tells what is wrong. */
  private async look(): Promise<void> {
    try {
      await this.state.ask(STATE_SCRIPT);
      if (this.writeFault === undefined) return;
      await this.state.ask(PROBE_SCRIPT);
      this.writeFault = undefined;
    } catch (cause) {
      this.writeFault ??= reasonOf(cause);
    }
  }
}

async function openingCheck({ connection, requireDurable }: Required<RedisAlarmLogOptions>): Promise<RedisDurability> {
  const durability = await readDurability(connection.commands.client);
  if (requireDurable && durability.losses.length > 0) throw new PushConfigurationError(warningsOf(durability));
  // A script that may not do all that it has to would leave its work half done.
  const missing = arrayOf(await connection.run(RIGHTS_SCRIPT, [connection.key('alarms', 'rights')], []));
  if (missing.length === 0) return durability;
  throw new PushConfigurationError([
    `the user of Redis may not ${missing.join(', ')} on keys of this prefix: allow it`,
  ]);
}

function warningsOf({ losses, risks }: RedisDurability): string[] {
  return [...losses, ...risks].map((why) => `Redis does not keep all alarms that it accepts: ${why}`);
}
