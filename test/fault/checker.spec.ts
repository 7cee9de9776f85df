import { describe, expect, test } from '@jest/globals';
import { type Random, seeded } from '../support/random.js';
import { check } from './checker.js';
import { cursorAt, goodHistory, type MutableHistory, TOLD } from './good.history.js';
import type { ClientEvent } from './history.js';
import type { VerdictKind } from './verdicts.js';

const ALARMS = 2000;
const MANY_ALARMS = 10_000;

type Delivered = Extract<ClientEvent, { type: 'delivered' }>;
type Connected = Extract<ClientEvent, { type: 'connected' }>;

function verdictsOf({ producer, clients }: MutableHistory): string[] {
  return check(producer, clients)
    .verdicts.map(({ kind, where }) => `${kind} ${where}`)
    .toSorted();
}

function eventsOf(history: MutableHistory, name: string): ClientEvent[] {
  const client = history.clients.find(({ profile }) => profile.name === name);
  if (client === undefined) throw new Error(`there is no client ${name}`);
  return client.events;
}

function isDelivered(event: ClientEvent | undefined): event is Delivered {
  return event?.type === 'delivered';
}

function deliveredAt(events: ClientEvent[], index: number): Delivered {
  const event = events[index];
  if (!isDelivered(event)) throw new Error(`nothing is delivered at ${index}`);
  return event;
}

/** Index of a connection, the first has number 1. */
function connectionAt(events: ClientEvent[], number: number): number {
  let seen = 0;
  return events.findIndex(({ type }) => type === 'connected' && ++seen === number);
}

/** Index of one of several deliveries in a row, in the midst of a connection. */
function inTheMidst(events: ClientEvent[], random: Random): number {
  const isMidst = (i: number) => [-1, 0, 1, 2, 3, 4].every((step) => isDelivered(events[i + step]));
  const places = events.flatMap((_, i) => (isMidst(i) ? [i] : []));
  return random.pick(places);
}

/** Removes deliveries for good: also where they come again. */
function forget(events: ClientEvent[], ids: readonly string[]): void {
  const left = events.filter((event) => !isDelivered(event) || !ids.includes(event.id));
  events.splice(0, events.length, ...left);
}

function offsetOf(id: string): number {
  return Number(id.split('.')[1]);
}

function dropOne(events: ClientEvent[], random: Random): void {
  forget(events, [deliveredAt(events, inTheMidst(events, random)).id]);
}

type Breaking = (history: MutableHistory, random: Random) => void;

const BROKEN: readonly [string, readonly string[], Breaking][] = [
  ['one alarm is not delivered', ['lost all'], (history, random) => dropOne(eventsOf(history, 'all'), random)],
  [
    'several in a row are not delivered, and no gap is told',
    ['silentGap all'],
    (history, random) => {
      const events = eventsOf(history, 'all');
      const at = inTheMidst(events, random);
      forget(events, [deliveredAt(events, at).id, deliveredAt(events, at + 1).id]);
    },
  ],
  [
    'the hand-over from the log to live alarms is skipped',
    ['lostAtHandOver all'],
    (history) => {
      const events = eventsOf(history, 'all');
      const at = connectionAt(events, 2);
      const skipped = events.slice(at + 1, at + 6).filter(isDelivered);
      expect(skipped).toHaveLength(5);
      forget(
        events,
        skipped.map(({ id }) => id),
      );
    },
  ],
  [
    'an offset is used again after a restart',
    ['acceptedOutOfOrder producer', 'cursorReused producer', 'cursorReused all'],
    (history) => {
      history.clients.splice(1);
      const [before, after] = [1000, 1001];
      for (const [i, event] of history.producer.entries()) {
        if (event.type === 'accepted' && event.cursor === cursorAt(after)) {
          history.producer[i] = { ...event, cursor: cursorAt(before) };
        }
      }
      const events = eventsOf(history, 'all');
      for (const [i, event] of events.entries()) {
        if (isDelivered(event) && event.id === cursorAt(before)) events[i] = { ...event, content: `content-${after}` };
      }
      forget(events, [cursorAt(after)]);
    },
  ],
  [
    'an alarm is accepted before it is stored, and is not there after the power cut',
    ['absent log', 'lost all'],
    (history) => {
      history.clients.splice(1);
      // Nobody knows its offset any more; the log goes on with another one behind it.
      forget(eventsOf(history, 'all'), [cursorAt(1000)]);
    },
  ],
  [
    'two alarms come in the other order',
    ['disorder all'],
    (history, random) => {
      const events = eventsOf(history, 'all');
      const at = inTheMidst(events, random);
      const [first, second] = [deliveredAt(events, at), deliveredAt(events, at + 1)];
      events.splice(at, 2, second, first);
    },
  ],
  [
    'an alarm comes twice in a connection',
    ['twiceInConnection all'],
    (history, random) => {
      const events = eventsOf(history, 'all');
      const at = inTheMidst(events, random);
      events.splice(at + 2, 0, deliveredAt(events, at));
    },
  ],
  [
    'the content of a cursor changes after a restart',
    ['contentChanged durable', 'notPushed durable'],
    (history, random) => {
      const events = eventsOf(history, 'durable');
      const at = inTheMidst(events, random);
      events[at] = { ...deliveredAt(events, at), content: 'mangled' };
    },
  ],
  [
    'an alarm that nobody pushed',
    ['notPushed all'],
    (history) => {
      const events = eventsOf(history, 'all');
      const end = events.findLastIndex(isDelivered);
      events.splice(end + 1, 0, { type: 'delivered', id: cursorAt(ALARMS + 1), content: 'invented' });
      events.splice(end + 2);
    },
  ],
  [
    "another organisation's alarm",
    ['otherOrganisation plant'],
    (history) => {
      const events = eventsOf(history, 'plant');
      const foreign = new Map<number, string>();
      for (const event of history.producer) {
        if (event.type !== 'pushed' || event.facts.orgId !== 'acme/plant10') continue;
        foreign.set(Number(event.eventId.split('-')[1]), event.content);
      }
      // Between two that follow each other in one connection.
      const at = events.findIndex((event, i) => {
        return isDelivered(event) && isDelivered(events[i + 1]) && foreign.has(offsetOf(event.id) + 1);
      });
      const offset = offsetOf(deliveredAt(events, at).id) + 1;
      events.splice(at + 1, 0, { type: 'delivered', id: cursorAt(offset), content: foreign.get(offset) ?? '' });
    },
  ],
  [
    'an alarm that the filter excludes',
    ['filteredOut severe'],
    (history) => {
      const events = eventsOf(history, 'severe');
      const at = events.findIndex(
        (event, i) => isDelivered(event) && isDelivered(events[i + 1]) && gapBehind(events, i) > 1,
      );
      const offset = offsetOf(deliveredAt(events, at).id) + 1;
      events.splice(at + 1, 0, { type: 'delivered', id: cursorAt(offset), content: `content-${offset}` });
    },
  ],
  [
    'a gap is not told',
    ['lostAtHandOver overtaken', 'readyAhead overtaken', 'silentGap overtaken'],
    (history) => {
      const client = history.clients.find(({ profile }) => profile.name === 'overtaken');
      if (client !== undefined) client.events = client.events.filter(({ type }) => type !== 'gap');
    },
  ],
  [
    'a gap is told too small',
    ['gapTooSmall overtaken'],
    (history) => {
      const events = eventsOf(history, 'overtaken');
      const at = events.findIndex(({ type }) => type === 'gap');
      const gap = events[at];
      if (gap?.type !== 'gap') throw new Error('there is no gap');
      events[at] = { ...gap, oldest: cursorAt(offsetOf(gap.requested) + TOLD - 3) };
    },
  ],
  [
    'ready names a place ahead of what was delivered',
    ['readyAhead durable'],
    (history) => {
      const events = eventsOf(history, 'durable');
      const at = connectionAt(events, 2);
      events[at] = { ...(events[at] as Connected), ready: cursorAt(offsetOf((events[at] as Connected).ready) + 200) };
    },
  ],
  [
    'an acknowledgement beyond what was sent',
    ['ackAhead durable'],
    (history) => {
      const events = eventsOf(history, 'durable');
      const at = events.findLastIndex(({ type }) => type === 'acked');
      events[at] = { type: 'acked', id: cursorAt(ALARMS + 5) };
    },
  ],
  [
    'a durable subscription begins again too far back',
    ['tooManyAgain durable'],
    (history) => {
      const events = eventsOf(history, 'durable');
      const at = connectionAt(events, 2);
      const earlier = events.slice(0, at).filter(isDelivered).slice(-60);
      const behind = events.slice(at + 1).findIndex((event) => isDelivered(event) && !knows(earlier, event.id));
      events.splice(at + 1, behind, ...earlier);
    },
  ],
  [
    'a resumption begins before the lastEventId',
    ['resumedBehind all'],
    (history) => {
      const events = eventsOf(history, 'all');
      const at = connectionAt(events, 2);
      events.splice(at + 1, 0, ...events.slice(0, at).filter(isDelivered).slice(-2));
    },
  ],
  [
    'a heartbeat tells a place ahead of what was sent',
    ['toldAhead durable'],
    (history) => {
      // Of a filtered client too, but there the alarms between are lost at once.
      const events = eventsOf(history, 'durable');
      const at = connectionAt(events, 2);
      const told = events.slice(0, at).findLastIndex(({ type }) => type === 'position');
      const position = events[told];
      if (position?.type !== 'position') throw new Error('there is no heartbeat');
      events[told] = { ...position, id: cursorAt(offsetOf(position.id) + 5) };
    },
  ],
  [
    'a client never hears the end',
    ['notCaughtUp all'],
    (history) => {
      const events = eventsOf(history, 'all');
      const end = events.findLastIndex(isDelivered);
      forget(events, [deliveredAt(events, end).id]);
    },
  ],
  [
    'what was rejected is delivered',
    ['rejectedDelivered all', 'rejectedDelivered durable', 'rejectedDelivered overtaken'],
    (history) => {
      const at = history.producer.findIndex((event) => event.type === 'accepted' && event.cursor === cursorAt(1000));
      history.producer[at] = { type: 'rejected', eventId: 'event-1000' };
      for (const { profile, events } of history.clients) {
        if (!['all', 'durable', 'overtaken'].includes(profile.name)) forget(events, [cursorAt(1000)]);
      }
    },
  ],
  [
    'an event is accepted at two places',
    ['acceptedTwice producer', 'cursorReused producer'],
    (history) => history.producer.push({ type: 'accepted', eventId: 'event-5', cursor: cursorAt(6) }),
  ],
];

function gapBehind(events: ClientEvent[], i: number): number {
  return offsetOf(deliveredAt(events, i + 1).id) - offsetOf(deliveredAt(events, i).id);
}

function knows(delivered: readonly Delivered[], id: string): boolean {
  return delivered.some((event) => event.id === id);
}

describe('the checker of histories', () => {
  test(
    'passes a good history',
    seeded((random) => {
      const history = goodHistory(random, MANY_ALARMS);
      const report = check(history.producer, history.clients);
      expect(report.verdicts).toEqual([]);
      expect(report).toMatchObject({ pushed: MANY_ALARMS, accepted: MANY_ALARMS, gaps: 1 });
      expect(report.duplicates).toBeGreaterThan(0);
      expect(report.connections).toBeGreaterThan(2 * history.clients.length);
      expect(report.expected).toBe(report.deliveries - report.duplicates);
    }),
  );

  test(
    'catches one lost alarm of ten thousand',
    seeded((random) => {
      const history = goodHistory(random, MANY_ALARMS);
      dropOne(eventsOf(history, 'all'), random);
      expect(check(history.producer, history.clients).verdicts).toMatchObject([
        { kind: 'lost', where: 'all', count: 1 },
      ]);
    }),
  );

  test.each(BROKEN)('catches: %s', async (_what, expected, breakIt) => {
    await seeded((random) => {
      const history = goodHistory(random, ALARMS);
      breakIt(history, random);
      expect(verdictsOf(history)).toEqual([...expected].toSorted());
    })();
  });

  test('every kind of verdict is needed by one of these', () => {
    const kinds = new Set(BROKEN.flatMap(([, expected]) => expected.map((verdict) => verdict.split(' ')[0])));
    const all: Record<VerdictKind, true> = {
      lost: true,
      silentGap: true,
      lostAtHandOver: true,
      gapTooSmall: true,
      notCaughtUp: true,
      absent: true,
      notPushed: true,
      rejectedDelivered: true,
      otherOrganisation: true,
      filteredOut: true,
      disorder: true,
      twiceInConnection: true,
      cursorReused: true,
      contentChanged: true,
      acceptedTwice: true,
      acceptedOutOfOrder: true,
      resumedBehind: true,
      tooManyAgain: true,
      readyAhead: true,
      toldAhead: true,
      ackAhead: true,
    };
    expect([...kinds].toSorted()).toEqual(Object.keys(all).toSorted());
  });
});
