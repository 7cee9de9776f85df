import { arrayOf } from '../redis/redis.reply.js';
import type { AlarmEntry, AlarmFields, NewAlarm } from './alarm-log.js';
import { eventIdTaken, eventIdTwice } from './alarm-log.rules.js';
import type { AppendOutcome } from './redis.append-queue.js';
import type { LogAnswer } from './redis.log-state.js';

/** An alarm, as the script takes it. */
export function wordsOf({ json, fields, eventId }: NewAlarm): string[] {
  const { conditionId, active } = fields;
  return [eventId ?? '', conditionId ?? '', active === false ? '0' : '1', JSON.stringify(fields), json];
}

/** What the script says of one batch. */
export function outcomeOf(batch: readonly NewAlarm[], epoch: string, result: readonly unknown[]): AppendOutcome {
  const [kind, ...numbers] = result;
  const [index = 0, other = 0] = numbers.map(Number);
  if (kind === 'taken') return eventIdTaken(batch[index]?.eventId ?? '', { epoch, offset: other });
  if (kind === 'twice') return eventIdTwice(index, other);
  return batch.map((_, i) => ({
    cursor: { epoch, offset: Number(numbers[2 * i]) },
    duplicate: Number(numbers[2 * i + 1]) === 1,
  }));
}

/** Alarms in the answer of a script. */
export function entriesIn({ epoch, values }: LogAnswer): AlarmEntry[] {
  const words = arrayOf(values[0]);
  return Array.from({ length: words.length / 3 }, (_, i) => ({
    epoch,
    offset: Number.parseInt(String(words[3 * i]), 10),
    json: String(words[3 * i + 1]),
    fields: fieldsIn(String(words[3 * i + 2])),
  }));
}

function fieldsIn(json: string): AlarmFields {
  const { businessId, businessType, severity, orgId, conditionId, active } = JSON.parse(json) as AlarmFields;
  return { businessId, businessType, severity, orgId, conditionId, active };
}
