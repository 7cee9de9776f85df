import { AT_BASE, N_BASE } from './datum.js';

/** What the sources push as alarms: 300 bytes of JSON, every number of a fixed width. */
export interface BenchAlarm {
  businessId: string;
  businessType: string;
  severity: number;
  at: number;
  n: number;
  [field: string]: unknown;
}

/**
 * What the log keeps beside the alarm: `bare` nothing, `eventId` its idempotency key, `condition` that and the state of
 * one of {@link CONDITIONS} conditions.
 */
export type AlarmKind = 'bare' | 'eventId' | 'condition';

export interface AlarmPlace {
  readonly n: number;
  /** When the source wanted it pushed, see {@link nowMicros}. */
  readonly atMicros: number;
}

export const ALARM_BYTES = 300;
const CONDITIONS = 1000;

export function createAlarm(kind: AlarmKind, place: AlarmPlace): BenchAlarm {
  return create(kind, place, paddings[kind]);
}

function create(kind: AlarmKind, { n, atMicros }: AlarmPlace, message: string): BenchAlarm {
  const alarm: BenchAlarm = {
    businessId: `m${String(n % 1000).padStart(3, '0')}`,
    businessType: 'meter',
    severity: 100 + (n % 900),
    at: AT_BASE + Math.floor(atMicros),
    n: N_BASE + n,
    message,
  };
  if (kind !== 'bare') alarm['eventId'] = `event-${String(n).padStart(12, '0')}`;
  if (kind === 'condition') {
    alarm['conditionId'] = `overload-${String(n % CONDITIONS).padStart(4, '0')}`;
    // A text of its own, so that both states are equally long.
    alarm['active'] = Math.floor(n / CONDITIONS) % 2 === 0;
    alarm['state'] = alarm['active'] === true ? 'raised.' : 'over..';
  }
  return alarm;
}

function paddingOf(kind: AlarmKind): string {
  const bare = JSON.stringify(create(kind, { n: 0, atMicros: 0 }, '')).length;
  if (bare > ALARM_BYTES) throw new Error(`the alarm is ${bare} bytes long without its message`);
  return 'the load of the feeder is over its limit '.repeat(ALARM_BYTES).slice(0, ALARM_BYTES - bare);
}

const paddings: Record<AlarmKind, string> = {
  bare: paddingOf('bare'),
  eventId: paddingOf('eventId'),
  condition: paddingOf('condition'),
};
