import { openSync, writeSync } from 'node:fs';
import { LmdbAlarmLog } from '../../../src/alarm-log/lmdb.alarm-log.js';
import { formatCursor } from '../../../src/protocol/cursor.js';
import { serveCalls } from '../../bench/rpc.js';
import { Random } from '../../support/random.js';
import { digestOf } from '../history.file.js';
import type { ProducerEvent } from '../history.js';
import type { AppendOrder, LogApi, LogContent } from './log.api.js';

const CALLERS = 8;
const PAGE_ALARMS = 500;
const MAX_TEXT = 3000;

function open(alarmLogPath: string, retention: number): Promise<LmdbAlarmLog> {
  return LmdbAlarmLog.open({ path: alarmLogPath, retention: { count: retention, hours: 168, bytes: 2 ** 30 } });
}

async function append(order: AppendOrder): Promise<void> {
  const log = await open(order.alarmLogPath, order.retention);
  const descriptor = openSync(order.history, 'a');
  const tell = (event: ProducerEvent) => writeSync(descriptor, `${JSON.stringify(event)}\n`);
  const random = new Random(order.seed);
  let count = 0;
  const appendNext = async (): Promise<void> => {
    count += 1;
    const facts = { businessId: `b${count % 10}` };
    const alarm = {
      ...facts,
      eventId: `event-${order.round}-${count}`,
      text: 'x'.repeat(random.next() ** 4 * MAX_TEXT),
    };
    const { eventId } = alarm;
    tell({ type: 'pushed', eventId, content: digestOf(alarm), facts });
    const fields = { ...facts, ...NO_FIELDS };
    const appended = log.append([{ json: JSON.stringify(alarm), fields, eventId }]);
    if (order.acknowledgesEarly) {
      // Where it is going to be: the callers push one by one.
      const { epoch, newest } = log.bounds();
      tell({ type: 'accepted', eventId, cursor: formatCursor({ epoch, offset: newest + 1 }) });
      await appended;
      return;
    }
    const [receipt] = await appended;
    if (receipt === undefined) throw new Error('the log answered without a receipt');
    tell({ type: 'accepted', eventId, cursor: formatCursor(receipt.cursor) });
  };
  const appendOn = async (): Promise<never> => {
    for (;;) await appendNext();
  };
  await appendNext();
  const callers = Array.from({ length: order.acknowledgesEarly ? 1 : CALLERS }, appendOn);
  // A failure ends the process, and its parent says so.
  void Promise.all(callers);
}

async function read({ alarmLogPath, retention }: { alarmLogPath: string; retention: number }): Promise<LogContent> {
  const log = await open(alarmLogPath, retention);
  const { epoch, oldest, newest } = log.bounds();
  const alarms: { offset: number; content: string }[] = [];
  for (let offset = oldest - 1; offset < newest;) {
    const page = await log.read(offset, PAGE_ALARMS);
    for (const { offset: at, json } of page) alarms.push({ offset: at, content: digestOf(JSON.parse(json) as object) });
    const last = page.at(-1);
    if (last === undefined) break;
    offset = last.offset;
  }
  const { setAside } = log;
  await log.close();
  return { epoch, oldest, newest, alarms, ...(setAside === undefined ? {} : { setAside }) };
}

const NO_FIELDS = {
  businessType: undefined,
  severity: undefined,
  orgId: undefined,
  conditionId: undefined,
  active: undefined,
};

const api: LogApi = { append, read };
serveCalls(api);
