import { type Cursor, parseCursor } from '../../src/protocol/cursor.js';
import type { AlarmFacts, ProducerEvent } from './history.js';
import type { Verdicts } from './verdicts.js';

interface Pushed {
  readonly eventId: string;
  readonly content: string;
  readonly facts: AlarmFacts;
  /** The furthest place that was accepted when it was pushed first. */
  readonly acceptedBefore: Cursor | undefined;
}

/** A place in the log, comparable across its lives. */
export interface Place {
  readonly life: number;
  readonly offset: number;
}

export interface AcceptedAlarm {
  readonly cursor: string;
  readonly place: Place;
  readonly eventId: string;
  readonly facts: AlarmFacts;
}

export function isBefore(a: Place, b: Place): boolean {
  return a.life < b.life || (a.life === b.life && a.offset < b.offset);
}

/** The log, as the producers know it and as clients show it. */
export class KnownLog {
  private readonly byEvent = new Map<string, Pushed>();
  private readonly byContent = new Map<string, Pushed>();
  private readonly contentAt = new Map<string, string>();
  private readonly cursorOf = new Map<string, string>();
  private readonly rejected = new Set<string>();
  private readonly epochs: string[] = [];
  private furthest: Cursor | undefined;

  constructor(private readonly verdicts: Verdicts) {}

  get pushedCount(): number {
    return this.byEvent.size;
  }

  add(event: ProducerEvent): void {
    if (event.type === 'pushed') this.push(event);
    else if (event.type === 'accepted') this.accept(event.eventId, event.cursor);
    else if (event.type === 'rejected') this.rejected.add(event.eventId);
  }

  /** What a client was sent; undefined where nobody pushed it. */
  delivered(cursor: string, content: string, where: string): AlarmFacts | undefined {
    const pushed = this.byContent.get(content);
    this.hold(cursor, content, where);
    if (pushed === undefined) {
      this.verdicts.add('notPushed', where, `${cursor} has ${content}`);
      return undefined;
    }
    if (this.rejected.has(pushed.eventId) && !this.cursorOf.has(pushed.eventId)) {
      this.verdicts.add('rejectedDelivered', where, `${pushed.eventId} at ${cursor}`);
    }
    return pushed.facts;
  }

  place(cursor: string): Place {
    const { epoch, offset } = parsed(cursor);
    if (!this.epochs.includes(epoch)) this.epochs.push(epoch);
    return { life: this.epochs.indexOf(epoch), offset };
  }

  /** In the order of the log. */
  accepted(): AcceptedAlarm[] {
    const alarms = Array.from(this.cursorOf, ([eventId, cursor]) => {
      return { cursor, place: this.place(cursor), eventId, facts: this.byEvent.get(eventId)?.facts };
    });
    return alarms
      .filter((alarm): alarm is AcceptedAlarm => alarm.facts !== undefined)
      .toSorted((a, b) => (isBefore(a.place, b.place) ? -1 : 1));
  }

  private push({ eventId, content, facts }: Extract<ProducerEvent, { type: 'pushed' }>): void {
    const pushed = { eventId, content, facts, acceptedBefore: this.furthest };
    this.byEvent.set(eventId, pushed);
    this.byContent.set(content, pushed);
  }

  private accept(eventId: string, cursor: string): void {
    const pushed = this.byEvent.get(eventId);
    if (pushed === undefined) {
      this.verdicts.add('notPushed', 'producer', `${eventId} was accepted at ${cursor}`);
      return;
    }
    const known = this.cursorOf.get(eventId);
    if (known !== undefined && known !== cursor) {
      this.verdicts.add('acceptedTwice', 'producer', `${eventId} at ${known} and at ${cursor}`);
    }
    this.cursorOf.set(eventId, known ?? cursor);
    this.hold(cursor, pushed.content, 'producer');
    this.place(cursor);
    this.checkOrder(parsed(cursor), pushed);
  }

  private checkOrder(cursor: Cursor, { eventId, acceptedBefore }: Pushed): void {
    if (acceptedBefore?.epoch === cursor.epoch && acceptedBefore.offset >= cursor.offset) {
      const example = `${eventId} at ${cursor.offset}, pushed after ${acceptedBefore.offset} was accepted`;
      this.verdicts.add('acceptedOutOfOrder', 'producer', example);
    }
    const isFurther = this.furthest?.epoch !== cursor.epoch || this.furthest.offset < cursor.offset;
    if (isFurther) this.furthest = cursor;
  }

  /** One cursor has one content for ever. */
  private hold(cursor: string, content: string, where: string): void {
    const known = this.contentAt.get(cursor);
    if (known === undefined) {
      this.contentAt.set(cursor, content);
      return;
    }
    if (known === content) return;
    const areBothPushed = this.byContent.has(known) && this.byContent.has(content);
    this.verdicts.add(areBothPushed ? 'cursorReused' : 'contentChanged', where, `${cursor}: ${known}, then ${content}`);
  }
}

function parsed(text: string): Cursor {
  const cursor = parseCursor(text);
  if (cursor === undefined) throw new Error(`${text} in a history is no cursor`);
  return cursor;
}
