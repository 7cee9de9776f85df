import { ClientCheck } from './client.check.js';
import type { ClientHistory, ProducerEvent } from './history.js';
import { KnownLog } from './known.log.js';
import { type Verdict, Verdicts } from './verdicts.js';

export interface CheckReport {
  /** Empty: what was accepted and not told as a gap was delivered, in order, unchanged, and to nobody else. */
  readonly verdicts: readonly Verdict[];
  readonly pushed: number;
  readonly accepted: number;
  /** Accepted alarms that were for a client, summed over the clients. */
  readonly expected: number;
  readonly deliveries: number;
  readonly duplicates: number;
  readonly connections: number;
  readonly gaps: number;
}

/** Proves from the histories alone what the gateway promises. The producers share one history, in real order. */
export function check(producers: Iterable<ProducerEvent>, clients: Iterable<ClientHistory>): CheckReport {
  const verdicts = new Verdicts();
  const log = new KnownLog(verdicts);
  for (const event of producers) log.add(event);
  const accepted = log.accepted();
  const audience = new Map<string, { readonly eventId: string; readonly wanted: number; readonly received: number }>();
  const totals = { expected: 0, deliveries: 0, duplicates: 0, connections: 0, gaps: 0 };
  for (const { profile, events } of clients) {
    const client = new ClientCheck(profile, log, verdicts);
    for (const event of events) client.add(event);
    const expected = client.expected(accepted);
    client.missing(expected);
    for (const { alarm, isReceived } of expected) {
      const { wanted, received } = audience.get(alarm.cursor) ?? { wanted: 0, received: 0 };
      const counts = { wanted: wanted + 1, received: received + (isReceived ? 1 : 0) };
      audience.set(alarm.cursor, { eventId: alarm.eventId, ...counts });
    }
    totals.expected += expected.length;
    totals.deliveries += client.deliveries;
    totals.duplicates += client.duplicates;
    totals.connections += client.connections;
    totals.gaps += client.gapCount;
  }
  for (const [cursor, { eventId, wanted, received }] of audience) {
    if (received === 0) verdicts.add('absent', 'log', `${cursor} (${eventId}), which ${wanted} clients should have`);
  }
  return { verdicts: verdicts.list(), pushed: log.pushedCount, accepted: accepted.length, ...totals };
}
