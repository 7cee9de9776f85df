import type { Random } from '../support/random.js';
import { exclusionOf } from './audience.js';
import type { AlarmFacts, ClientEvent, Profile, ProducerEvent } from './history.js';

export interface MutableHistory {
  readonly producer: ProducerEvent[];
  readonly clients: { readonly profile: Profile; events: ClientEvent[] }[];
}

interface Logged {
  readonly id: string;
  readonly content: string;
  readonly facts: AlarmFacts;
}

const EPOCH = 'epoch';
const ORGANISATIONS = [undefined, 'acme/plant1/line3', 'acme/plant2', 'acme/plant10', 'globex'];
const PROFILES: readonly Profile[] = [
  { name: 'all', orgId: '*' },
  { name: 'plant', orgId: 'acme/plant1' },
  { name: 'severe', orgId: '*', minSeverity: 500 },
  { name: 'two-ids', orgId: 'acme', businessIds: ['b1', 'b2'] },
  { name: 'durable', orgId: '*', durable: { maxUnacked: 40, ackEvery: 10 } },
  { name: 'durable-typed', orgId: 'globex', businessTypes: ['t1'], durable: { maxUnacked: 40, ackEvery: 3 } },
  { name: 'overtaken', orgId: '*' },
];
/** How many alarms the retention took from the client `overtaken`. */
export const TOLD = 25;

/** What producers and clients of a gateway without a fault write down: reconnections, repetitions and one told gap. */
export function goodHistory(random: Random, count: number): MutableHistory {
  const producer: ProducerEvent[] = [];
  const log = Array.from({ length: count }, (_, i): Logged => {
    const facts = factsOf(random);
    const [eventId, content, id] = [`event-${i + 1}`, `content-${i + 1}`, cursorAt(i + 1)];
    producer.push({ type: 'pushed', eventId, content, facts });
    if (random.chance(0.05)) producer.push({ type: 'unknown', eventId, why: 'the connection was reset' });
    producer.push({ type: 'accepted', eventId, cursor: id });
    return { id, content, facts };
  });
  return { producer, clients: PROFILES.map((profile) => ({ profile, events: follow(random, profile, log) })) };
}

export function cursorAt(offset: number): string {
  return `${EPOCH}.${offset}`;
}

function factsOf(random: Random): AlarmFacts {
  const orgId = random.pick(ORGANISATIONS);
  return {
    businessId: `b${random.below(4)}`,
    ...(random.chance(0.8) ? { businessType: `t${random.below(3)}` } : {}),
    ...(random.chance(0.8) ? { severity: 1 + random.below(1000) } : {}),
    ...(orgId === undefined ? {} : { orgId }),
  };
}

/** One client from its first connection to the end of the log. */
function follow(random: Random, profile: Profile, log: readonly Logged[]): ClientEvent[] {
  const events: ClientEvent[] = [];
  const start = 1 + random.below(20);
  let told = start;
  let stored = start;
  let isFirst = true;
  while (isFirst || told < log.length) {
    const from = profile.durable === undefined ? told : stored;
    let position = connect(events, profile, from, isFirst, isFirst ? 0 : log.length - from);
    isFirst = false;
    let unacked = 0;
    const until = Math.min(log.length, Math.max(position, told) + 20 + random.below(log.length / 4));
    while (position < until) {
      position += 1;
      const logged = log[position - 1];
      if (logged === undefined || exclusionOf(profile, logged.facts) !== undefined) continue;
      events.push({ type: 'delivered', id: logged.id, content: logged.content });
      unacked += 1;
      if (profile.durable === undefined || unacked < profile.durable.ackEvery) continue;
      events.push({ type: 'acked', id: logged.id });
      // Some acknowledgements are on their way when the connection breaks.
      if (random.chance(0.7) || unacked > 2 * profile.durable.ackEvery) [stored, unacked] = [position, 0];
    }
    events.push({ type: 'position', id: cursorAt(position) });
    told = Math.max(told, position);
    events.push({ type: 'closed', code: 1006, why: '' });
  }
  return events;
}

/** Returns where the connection begins. */
function connect(events: ClientEvent[], profile: Profile, from: number, isFirst: boolean, ahead: number): number {
  const after = isFirst || profile.durable !== undefined ? {} : { after: cursorAt(from) };
  const isOvertaken = profile.name === 'overtaken' && ahead > 2 * TOLD && !events.some(({ type }) => type === 'gap');
  const position = isOvertaken ? from + TOLD : from;
  events.push({ type: 'connected', ready: cursorAt(position), resumed: !isFirst && !isOvertaken, ...after });
  if (!isOvertaken || isFirst) return position;
  events.push({ type: 'gap', requested: cursorAt(from), oldest: cursorAt(position + 1), reason: 'retention' });
  return position;
}
