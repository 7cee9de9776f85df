import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../support/random.js';
import type { AlarmFacts, ProducerEvent } from './history.js';
import { digestOf, type HistoryWriter } from './history.file.js';

const CALLERS = 12;
const REQUEST_TIMEOUT_MS = 3000;
const RETRY_AFTER_MS = 40;
/** Of those that are refused for certain some are given up, to see that they never come. */
const GIVE_UP_CHANCE = 0.02;
/** How far a producer that was held up may be behind its rate. */
const MAX_ARREARS_MS = 1000;
const BATCH_CHANCE = 0.05;
const BATCH = 4;
const ORGANISATIONS = ['acme/plant1', 'acme/plant1/line3', 'acme/plant10', 'acme/plant2', 'globex'];

interface TestAlarm extends AlarmFacts {
  readonly eventId: string;
  readonly conditionId?: string;
  readonly active?: boolean;
  readonly text: string;
}

type Outcome =
  | { readonly kind: 'accepted'; readonly cursors: readonly string[] }
  | { readonly kind: 'rejected' | 'unknown'; readonly why: string };

/** Several concurrent callers that push alarms over HTTP, and push again with the same eventId until each is accepted. */
export class Producer {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: CALLERS });
  private readonly callers: Promise<void>[];
  private count = 0;
  private dueAtMs = performance.now();
  private isStopped = false;
  private newest = '';
  private acceptedCount = 0;
  private rejectedAnswers = 0;
  private failure: unknown;

  constructor(
    /** Of the gateways; each attempt takes one of them. */
    private readonly ports: readonly number[],
    private readonly ratePerSecond: number,
    private readonly random: Random,
    private readonly history: HistoryWriter<ProducerEvent>,
  ) {
    this.callers = Array.from({ length: CALLERS }, () => this.pushOn().catch((cause: unknown) => this.fail(cause)));
  }

  /** The furthest cursor that was accepted. */
  get newestCursor(): string {
    return this.newest;
  }

  get accepted(): number {
    return this.acceptedCount;
  }

  /** How often the gateway refused to take an alarm. */
  get refusals(): number {
    return this.rejectedAnswers;
  }

  note(what: string): void {
    this.history.write({ type: 'fault', what });
  }

  /** Ends once every alarm is accepted or given up. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await Promise.all(this.callers);
    this.agent.destroy();
    this.history.close();
    if (this.failure !== undefined) throw this.failure;
  }

  private fail(cause: unknown): void {
    this.isStopped = true;
    this.failure ??= cause;
  }

  private async pushOn(): Promise<void> {
    while (!this.isStopped) {
      const now = performance.now();
      this.dueAtMs = Math.max(this.dueAtMs + 1000 / this.ratePerSecond, now - MAX_ARREARS_MS);
      if (this.dueAtMs > now) await sleep(this.dueAtMs - now);
      const size = this.random.chance(BATCH_CHANCE) ? BATCH : 1;
      await this.push(Array.from({ length: size }, () => this.create()));
    }
  }

  private async push(alarms: readonly TestAlarm[]): Promise<void> {
    for (const alarm of alarms) {
      const { eventId, businessId, businessType, severity, orgId } = alarm;
      const facts = { businessId, businessType, severity, orgId };
      this.history.write({ type: 'pushed', eventId, content: digestOf(alarm), facts });
    }
    const mayGiveUp = this.random.chance(GIVE_UP_CHANCE);
    let isCertain = true;
    for (;;) {
      const outcome = await this.post(alarms);
      if (outcome.kind === 'accepted') {
        this.accept(alarms, outcome.cursors);
        return;
      }
      if (outcome.kind === 'unknown') {
        isCertain = false;
        for (const { eventId } of alarms) this.history.write({ type: 'unknown', eventId, why: outcome.why });
      } else {
        this.rejectedAnswers += 1;
        if (isCertain && mayGiveUp) {
          for (const { eventId } of alarms) this.history.write({ type: 'rejected', eventId });
          return;
        }
      }
      await sleep(RETRY_AFTER_MS);
    }
  }

  private accept(alarms: readonly TestAlarm[], cursors: readonly string[]): void {
    for (const [i, { eventId }] of alarms.entries()) {
      const cursor = cursors[i];
      if (cursor === undefined) throw new Error(`${eventId} was accepted without a cursor`);
      this.history.write({ type: 'accepted', eventId, cursor });
      if (Number(cursor.split('.')[1]) > Number(this.newest.split('.')[1] ?? 0)) this.newest = cursor;
    }
    this.acceptedCount += alarms.length;
  }

  private create(): TestAlarm {
    const { random } = this;
    this.count += 1;
    const condition = random.chance(0.3) ? { conditionId: `c${random.below(50)}`, active: random.chance(0.5) } : {};
    return {
      businessId: `b${random.below(10)}`,
      ...(random.chance(0.8) ? { businessType: `t${random.below(4)}` } : {}),
      ...(random.chance(0.8) ? { severity: 1 + random.below(1000) } : {}),
      ...(random.chance(0.5) ? { orgId: random.pick(ORGANISATIONS) } : {}),
      ...condition,
      eventId: `event-${this.count}`,
      text: 'ä'.repeat(random.below(150)),
    };
  }

  private post(alarms: readonly TestAlarm[]): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const unknown = (why: string) => resolve({ kind: 'unknown', why });
      const sent = request(
        {
          host: '127.0.0.1',
          port: this.random.pick(this.ports),
          path: '/push/alarms',
          method: 'POST',
          agent: this.agent,
          headers: { 'Content-Type': 'application/json' },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', (cause) => unknown(cause.message));
          response.on('end', () => {
            const body = Buffer.concat(chunks).toString();
            const outcome = outcomeOf(response.statusCode ?? 0, body);
            if (outcome === undefined) reject(new Error(`the gateway answered ${response.statusCode}: ${body}`));
            else resolve(outcome);
          });
        },
      );
      sent.setTimeout(REQUEST_TIMEOUT_MS, () => sent.destroy(new Error('no answer in time')));
      sent.on('error', (cause: NodeJS.ErrnoException) => {
        // Nobody listens, so nobody has it.
        if (cause.code === 'ECONNREFUSED') resolve({ kind: 'rejected', why: cause.code });
        else unknown(cause.message);
      });
      sent.end(JSON.stringify(alarms));
    });
  }
}

/** undefined: an answer that no producer should get. */
function outcomeOf(status: number, body: string): Outcome | undefined {
  if (status === 201) {
    const { alarms } = JSON.parse(body) as { alarms: { cursor: string }[] };
    return { kind: 'accepted', cursors: alarms.map(({ cursor }) => cursor) };
  }
  if (status !== 503) return undefined;
  const isCertain = body.includes('not accepted (rejected)') || body.includes('"serviceUnavailable"');
  return { kind: isCertain ? 'rejected' : 'unknown', why: body };
}
