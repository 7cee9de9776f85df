import type { AlarmFilter } from '../fan-out/alarm.client.js';
import { partFault } from '../fan-out/key.js';
import { type Cursor, parseCursor } from '../protocol/cursor.js';
import type { AlarmRequest } from '../registry/alarm.places.js';
import type { Refusal } from './refusal.js';

const MAX_REPLAY_COUNT = 1000;
const SUBSCRIPTION_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Reads what the query of the alarm path asks for: `minSeverity`, `businessType` and `businessId` (both repeatable),
 * `lastEventId` (or the header `Last-Event-ID`), `replay` and `durable`.
 */
export function parseAlarmRequest(
  query: URLSearchParams,
  lastEventIdHeader: string | undefined,
  isTwoWay: boolean,
): AlarmRequest | Refusal {
  const filter = parseFilter(query);
  if ('status' in filter) return filter;
  const repeated = ['lastEventId', 'replay', 'durable', 'minSeverity'].find((name) => query.getAll(name).length > 1);
  if (repeated !== undefined) return fault(`${repeated} may be given once`);
  const lastEventId = query.get('lastEventId') ?? lastEventIdHeader;
  const replay = query.get('replay') ?? undefined;
  const durable = query.get('durable') ?? undefined;
  if (!isTwoWay && (lastEventId !== undefined || durable !== undefined)) {
    return fault('lastEventId and durable need the subprotocol "push.v1"');
  }
  if (lastEventId !== undefined && (durable !== undefined || replay !== undefined)) {
    return fault('lastEventId stands alone: replay and durable say otherwise where the alarms begin');
  }
  const cursor = lastEventId === undefined ? undefined : parseCursor(lastEventId);
  if (lastEventId !== undefined && cursor === undefined) {
    return fault('lastEventId must be the id of an alarm or a heartbeat, as it was received');
  }
  if (durable !== undefined && !SUBSCRIPTION_NAME.test(durable)) {
    return fault('durable must be 1 to 64 characters of A-Z a-z 0-9 _ -');
  }
  return begin(filter, cursor, replay, durable);
}

function begin(
  filter: AlarmFilter,
  lastEventId: Cursor | undefined,
  replay: string | undefined,
  durable: string | undefined,
): AlarmRequest | Refusal {
  if (replay === undefined || replay === 'all' || replay === 'active') return { filter, lastEventId, replay, durable };
  const count = /^\d{1,4}$/.test(replay) ? Number(replay) : 0;
  if (count < 1 || count > MAX_REPLAY_COUNT) {
    return fault(`replay must be "all", "active" or a number from 1 to ${MAX_REPLAY_COUNT}`);
  }
  return { filter, lastEventId, replay: count, durable };
}

function parseFilter(query: URLSearchParams): AlarmFilter | Refusal {
  const minSeverity = query.get('minSeverity');
  if (minSeverity !== null && !(/^\d{1,4}$/.test(minSeverity) && +minSeverity >= 1 && +minSeverity <= 1000)) {
    return fault('minSeverity must be a whole number from 1 to 1000');
  }
  for (const name of ['businessType', 'businessId']) {
    const partFaults = query.getAll(name).map(partFault);
    const found = partFaults.find((each) => each !== undefined);
    if (found !== undefined) return fault(`${name} ${found}`);
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

function fault(message: string): Refusal {
  return { status: 400, error: 'parameter', message };
}
