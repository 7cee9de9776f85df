import type { AlarmFilter } from '../fan-out/alarm.router.js';
import { partFault } from '../fan-out/key.js';
import type { Refusal } from './refusal.js';

/** A client that asks for these must not believe that it got them. */
const UNAVAILABLE = ['lastEventId', 'replay', 'durable'];

/** Reads `minSeverity`, `businessType` and `businessId` (both repeatable) from the query of the alarm path. */
export function parseAlarmFilter(query: URLSearchParams): AlarmFilter | Refusal {
  const unavailable = UNAVAILABLE.find((name) => query.has(name));
  if (unavailable !== undefined) {
    return {
      status: 400,
      error: 'parameter',
      message: `${unavailable} is not available: alarms begin with the connection`,
    };
  }
  const minSeverity = query.get('minSeverity');
  if (minSeverity !== null && !(/^\d{1,4}$/.test(minSeverity) && +minSeverity >= 1 && +minSeverity <= 1000)) {
    return { status: 400, error: 'parameter', message: 'minSeverity must be a whole number from 1 to 1000' };
  }
  for (const name of ['businessType', 'businessId']) {
    const fault = query
      .getAll(name)
      .map(partFault)
      .find((each) => each !== undefined);
    if (fault !== undefined) return { status: 400, error: 'parameter', message: `${name} ${fault}` };
  }
  return {
    minSeverity: minSeverity === null ? undefined : +minSeverity,
    businessTypes: setOf(query.getAll('businessType')),
    businessIds: setOf(query.getAll('businessId')),
  };
}

function setOf(values: string[]): ReadonlySet<string> | undefined {
  return values.length === 0 ? undefined : new Set(values);
}
