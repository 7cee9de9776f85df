import { describe, expect, test } from '@jest/globals';
import { type Alarm, EventIdConflictError, InvalidPushError, PayloadTooLargeError } from '../../src/index.js';
import { gatewayOn, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import type { PushClient } from '../support/push.client.js';

const texts = (messages: readonly string[]) => messages.map((each) => (JSON.parse(each) as { text: string }).text);

/** Pushes the alarms and gives the texts that this client was sent of them. */
async function heardOf(gateway: TestGateway, client: PushClient, alarms: readonly Alarm[]): Promise<string[]> {
  const watcher = await gateway.connect('/ws/alarm');
  await gateway.push.pushAlarms(alarms);
  for (let n = 0; n < alarms.length; n++) await watcher.next();
  const heard = await gateway.alarmsHeardBy({ client });
  return texts(heard.client);
}

describe.each(PLATFORMS)('alarms on %s', (platform) => {
  const alarms: Alarm[] = [
    { text: 'low', businessId: '1', businessType: 'dev', severity: 1 },
    { text: 'middle', businessId: '2', businessType: 'dev', severity: 500 },
    { text: 'high', businessId: '1', businessType: 'meter', severity: 1000 },
    { text: 'no severity', businessId: '10', businessType: 'dev' },
    { text: 'no type', businessId: '1', severity: 400 },
    { text: 'chinese', businessId: '设备:1', businessType: 'a&b', severity: 300 },
  ];
  const everything = alarms.map(({ text }) => String(text));

  test.each<[string, string[]]>([
    ['', everything],
    ['?', everything],
    ['?other=1', everything],
    ['?minSeverity=1', everything],
    ['?minSeverity=500', ['middle', 'high', 'no severity']],
    ['?minSeverity=501', ['high', 'no severity']],
    ['?minSeverity=1000', ['high', 'no severity']],
    ['?businessType=dev', ['low', 'middle', 'no severity']],
    ['?businessType=dev&businessType=meter', ['low', 'middle', 'high', 'no severity']],
    ['?businessType=de', []],
    ['?businessId=1', ['low', 'high', 'no type']],
    ['?businessId=1&businessId=10', ['low', 'high', 'no severity', 'no type']],
    ['?businessType=dev&businessId=1', ['low']],
    ['?businessType=dev&businessId=1&minSeverity=2', []],
    [`?businessId=${encodeURIComponent('设备:1')}&businessType=a%26b`, ['chinese']],
  ])('the filter %s', async (query, expected) => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connect(`/ws/alarm${query}`);
    expect(await heardOf(gateway, client, alarms)).toEqual(expected);
  });

  test('every alarm client hears, no raw-data client does', async () => {
    const gateway = await gatewayOn(platform).start();
    const raw = await gateway.connect('/ws/rowdata/dev/1/ann');
    const client = await gateway.connect('/ws/alarm');
    expect(await heardOf(gateway, client, alarms)).toEqual(everything);
    expect(await gateway.heardBy({ raw })).toEqual({ raw: [] });
  });

  test('order and cursors: one after the other, whoever pushed', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connectPushV1('/ws/alarm');
    const receipts = await Promise.all(
      Array.from({ length: 450 }, async (_, n) =>
        n % 3 === 0
          ? gateway.push.pushAlarms([
              { businessId: '1', n: `${n}a` },
              { businessId: '1', n: `${n}b` },
            ])
          : [await gateway.push.pushAlarm({ businessId: '1', n: `${n}` })],
      ),
    );
    const cursors = receipts.flat().map(({ cursor }) => cursor);
    expect(new Set(cursors).size).toBe(600);
    const [epoch] = (cursors[0] ?? '').split('.');
    const heard: unknown[] = [];
    for (let offset = 1; offset <= 600; offset++) {
      const { id, data } = await client.nextEvent('alarm');
      expect(id).toBe(`${epoch}.${offset}`);
      heard.push(data['n']);
    }
    expect(heard.filter((n) => !String(n).endsWith('b'))).toHaveLength(450);
    for (let n = 0; n < 450; n += 3) expect(heard.indexOf(`${n}b`)).toBe(heard.indexOf(`${n}a`) + 1);
  });

  test('an eventId is stored and delivered once, and conflicts with other content', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connect('/ws/alarm');
    const alarm = { text: 'once', businessId: '1', eventId: 'e1' };
    const first = await gateway.push.pushAlarm(alarm);
    expect(first.duplicate).toBe(false);
    expect(await gateway.push.pushAlarm({ ...alarm })).toEqual({ cursor: first.cursor, duplicate: true });
    const conflict = gateway.push.pushAlarm({ ...alarm, text: 'other' });
    await expect(conflict).rejects.toThrow(EventIdConflictError);
    await expect(conflict).rejects.toMatchObject({ code: 'eventIdConflict', eventId: 'e1', cursor: first.cursor });
    const both = await gateway.push.pushAlarms([
      { text: 'twice in one', businessId: '1', eventId: 'e2' },
      { text: 'twice in one', businessId: '1', eventId: 'e2' },
    ]);
    expect(both.map(({ duplicate }) => duplicate)).toEqual([false, true]);
    expect(both[0]?.cursor).toBe(both[1]?.cursor);
    expect(await heardOf(gateway, client, [{ text: 'last', businessId: '1' }])).toEqual([
      'once',
      'twice in one',
      'last',
    ]);
  });

  test('a batch is all or nothing', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connectPushV1('/ws/alarm');
    await gateway.push.pushAlarm({ text: 'first', businessId: '1', eventId: 'e1' });
    const good = { text: 'good', businessId: '1' };
    await expect(gateway.push.pushAlarms([good, good, { businessId: '' }])).rejects.toMatchObject({
      code: 'invalidPush',
      field: '[2].businessId',
    });
    await expect(gateway.push.pushAlarms([good, { text: 'x', businessId: '1', eventId: 'e1' }])).rejects.toThrow(
      EventIdConflictError,
    );
    expect(await gateway.push.pushAlarms([])).toEqual([]);
    const { cursor } = await gateway.push.pushAlarm({ text: 'last', businessId: '1' });
    expect(cursor.split('.')[1]).toBe('2');
    expect((await client.nextEvent('alarm')).data['text']).toBe('first');
    expect(await client.nextEvent('alarm')).toMatchObject({ id: cursor, data: { text: 'last' } });
  });

  test.each<[string, Record<string, unknown>, string]>([
    ['no businessId', {}, 'businessId'],
    ['an empty businessId', { businessId: '' }, 'businessId'],
    ['a wildcard', { businessId: '*' }, 'businessId'],
    ['a number as businessId', { businessId: 5 }, 'businessId'],
    ['an empty businessType', { businessId: '1', businessType: '' }, 'businessType'],
    ['severity 0', { businessId: '1', severity: 0 }, 'severity'],
    ['severity 1001', { businessId: '1', severity: 1001 }, 'severity'],
    ['a broken severity', { businessId: '1', severity: 1.5 }, 'severity'],
    ['severity as text', { businessId: '1', severity: '5' }, 'severity'],
    ['active as text', { businessId: '1', conditionId: 'c', active: 'yes' }, 'active'],
    ['active without condition', { businessId: '1', active: true }, 'conditionId'],
    ['a long eventId', { businessId: '1', eventId: 'e'.repeat(129) }, 'eventId'],
    ['an empty orgId', { businessId: '1', orgId: '' }, 'orgId'],
    ['an orgId with an empty segment', { businessId: '1', orgId: 'acme//line' }, 'orgId'],
    ['NaN', { businessId: '1', value: { deep: [Number.NaN] } }, 'value.deep[0]'],
    ['a bigint', { businessId: '1', value: 1n }, 'value'],
  ])('refuses %s, and nothing is sent', async (_what, alarm, field) => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connect('/ws/alarm');
    const refused = gateway.push.pushAlarm(alarm as unknown as Alarm);
    await expect(refused).rejects.toThrow(InvalidPushError);
    await expect(refused).rejects.toMatchObject({ field });
    expect(await heardOf(gateway, client, [{ text: 'last', businessId: '1' }])).toEqual(['last']);
  });

  test('an alarm over 64 KiB is refused, one just below comes whole', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connect('/ws/alarm');
    const empty = { businessId: '1', text: '' };
    const largest = { ...empty, text: 'x'.repeat(65_536 - JSON.stringify(empty).length) };
    await expect(gateway.push.pushAlarm({ ...largest, text: `${largest.text}x` })).rejects.toThrow(
      PayloadTooLargeError,
    );
    await expect(gateway.push.pushAlarm({ ...empty, text: 'é'.repeat(32_768) })).rejects.toThrow(PayloadTooLargeError);
    await gateway.push.pushAlarm(largest);
    expect(await client.next()).toBe(JSON.stringify(largest));
  });

  test('a client that comes later begins behind its cursor', async () => {
    const gateway = await gatewayOn(platform).start();
    await gateway.push.pushAlarm({ text: 'before', businessId: '1' });
    const client = await gateway.connect('/ws/alarm');
    expect(await heardOf(gateway, client, [{ text: 'after', businessId: '1' }])).toEqual(['after']);
  });

  test('an alarm of an organisation reaches anonymous clients', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connect('/ws/alarm');
    expect(await heardOf(gateway, client, [{ text: 'ours', businessId: '1', orgId: 'acme/plant1' }])).toEqual(['ours']);
  });
});
