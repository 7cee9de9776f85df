import { describe, expect, test } from '@jest/globals';
import { map, mergeMap, tap } from 'rxjs';
import { CloseCodes } from '../../src/index.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, PLATFORMS } from '../support/gateway.fixture.js';
import { PushClient } from '../support/push.client.js';
import { rawUpgrade } from '../support/raw-upgrade.js';

const RAW_DATA_PATH = '/ws/rowdata/dev/1/ann';

function broken(): never {
  throw new Error('a bug in the application');
}

describe.each(PLATFORMS)('the plain wire on %s', (platform) => {
  test('a raw datum is its bare JSON, byte for byte', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connect(RAW_DATA_PATH);
    const data = [
      { businessType: 'dev', businessId: '1' },
      { businessType: 'dev', businessId: '1', series: 'température', value: 21.5, quoted: '"\\\n\u2028</script>' },
      { z: 1, businessType: 'dev', a: [null, true, 1e-7, { b: '设备📈' }], businessId: '1', left: undefined },
      { businessType: 'dev', businessId: '1', at: new Date(0), long: 'x'.repeat(126) },
      { businessType: 'dev', businessId: '1', longer: 'y'.repeat(66_000) },
    ];
    for (const datum of data) {
      gateway.push.pushRawData(datum);
      expect(await client.next()).toBe(JSON.stringify(datum));
    }
    expect(client.socket.protocol).toBe('');
    expect(client.socket.extensions).toBe('');
  });

  test('an alarm is its bare JSON, byte for byte', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connect('/ws/alarm');
    const alarm = { text: 'überhitzt 🔥', businessId: '1', severity: 900, nested: { list: [1, 2] } };
    await gateway.push.pushAlarm(alarm);
    expect(await client.next()).toBe(JSON.stringify(alarm));
  });

  test('what is pushed in one tick comes as a message each, in order', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connect(RAW_DATA_PATH);
    for (let n = 0; n < 1000; n++) gateway.push.pushRawData({ businessType: 'dev', businessId: '1', n });
    for (let n = 0; n < 1000; n++) expect(await client.next()).toBe(`{"businessType":"dev","businessId":"1","n":${n}}`);
  });

  test.each([
    ['the largest datum there may be', 1024 * 1024 - 100, 1],
    ['a datum as large as the window', 65_536, 2],
    ['a datum of most of the window', 60_000, 2],
  ])('small data and %s, pushed in one tick, come without delay', async (_what, length, count) => {
    const gateway = await gatewayOn(platform).start();
    const clients = [await gateway.connect(RAW_DATA_PATH), await gateway.connectPushV1(RAW_DATA_PATH)];
    const fillings = ['', 'x'.repeat(length), '', 'y'.repeat(length), ''].slice(0, 2 * count + 1);
    for (const filling of fillings) gateway.push.pushRawData({ businessType: 'dev', businessId: '1', filling });
    for (const client of clients) {
      for (const filling of fillings) expect(await client.next(1000)).toContain(`"filling":"${filling}"`);
    }
  });

  test('a small alarm and the largest one, pushed at once, come without delay', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connect('/ws/alarm');
    const fillings = ['', 'x'.repeat(65_500), ''];
    await gateway.push.pushAlarms(fillings.map((filling) => ({ businessId: '1', filling })));
    for (const filling of fillings) expect(await client.next(1000)).toContain(`"filling":"${filling}"`);
  });

  test('a client on push.v1 and one on the plain wire hear the same datum', async () => {
    const gateway = await gatewayOn(platform).start();
    const plain = await gateway.connect(RAW_DATA_PATH);
    const pushV1 = await gateway.connectPushV1(RAW_DATA_PATH);
    expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '1', n: 1 })).toEqual({ matched: 2 });
    expect(await plain.next()).toBe('{"businessType":"dev","businessId":"1","n":1}');
    expect(await pushV1.next()).toBe('{"event":"rawData","data":{"businessType":"dev","businessId":"1","n":1}}');
  });
});

describe.each(PLATFORMS)('push.v1 on %s', (platform) => {
  test('raw data: ready comes first, before what a connected$ listener pushes', async () => {
    const gateway = await gatewayOn(platform).withOptions({ heartbeatIntervalMs: 12_000 }).start();
    gateway.rawData.connected$.subscribe(({ client }) =>
      gateway.push.pushRawData({ businessType: 'hello' }, { to: { clientId: client.clientId } }),
    );
    const client = await gateway.connectPushV1(RAW_DATA_PATH);
    expect(await client.nextMessage()).toEqual({ event: 'rawData', data: { businessType: 'hello' } });
    expect(client.clientId).toBe(gateway.clientIdOf('ann'));
    expect(client.socket.protocol).toBe('push.v1');
  });

  test('ready names the clientId and the heartbeat, on alarms also the cursor', async () => {
    const gateway = await gatewayOn(platform).withOptions({ heartbeatIntervalMs: 12_000 }).start();
    const rawData = await PushClient.connect(gateway.url(RAW_DATA_PATH), {}, ['push.v1']);
    expect(await rawData.nextMessage()).toEqual({
      event: 'ready',
      data: { clientId: gateway.clientIdOf('ann'), heartbeatMs: 12_000 },
    });
    const { cursor } = await gateway.push.pushAlarm({ businessId: '1' });
    const alarm = await PushClient.connect(gateway.url('/ws/alarm'), {}, ['push.v1']);
    const [info] = gateway.alarms.clients();
    expect(await alarm.nextMessage()).toEqual({
      event: 'ready',
      data: { clientId: info?.clientId, cursor, resumed: false, heartbeatMs: 12_000 },
    });
    await Promise.all([rawData.cut(), alarm.cut()]);
  });

  test('an alarm carries its cursor as id', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connectPushV1('/ws/alarm');
    const { cursor, duplicate } = await gateway.push.pushAlarm({ businessId: '1', severity: 5 });
    expect(duplicate).toBe(false);
    expect(await client.next()).toBe(`{"event":"alarm","id":"${cursor}","data":{"businessId":"1","severity":5}}`);
  });

  test.each<[string, string | number]>([
    ['a text', 'r-1'],
    ['a number', 7],
    ['zero', 0],
    ['an empty text', ''],
  ])('subscribe and unsubscribe repeat a ref that is %s', async (_what, ref) => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connectPushV1(RAW_DATA_PATH);
    const keys = [{ businessType: 'dev', businessId: '2' }];
    expect(await client.ask('subscribe', { keys }, ref)).toEqual({
      event: 'subscribed',
      ref,
      data: { keys, refused: [] },
    });
    expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '2' })).toEqual({ matched: 1 });
    await client.nextEvent('rawData');
    expect(await client.ask('unsubscribe', { keys }, ref)).toEqual({ event: 'unsubscribed', ref, data: { keys } });
    expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '2' })).toEqual({ matched: 0 });
  });

  test('1,000 keys a client, its own among them; what is over is refused by name', async () => {
    const gateway = await gatewayOn(platform)
      .withOptions({ maxMessageBytes: 1024 * 1024 })
      .start();
    const client = await gateway.connectPushV1(RAW_DATA_PATH);
    const keys = Array.from({ length: 1000 }, (_, n) => ({ businessType: 'many', businessId: String(n) }));
    const answer = await client.ask('subscribe', { keys });
    expect(answer).toEqual({
      event: 'subscribed',
      data: { keys: keys.slice(0, 999), refused: [{ businessType: 'many', businessId: '999', reason: 'limit' }] },
    });
    expect(gateway.push.pushRawData({ businessType: 'many', businessId: '998' })).toEqual({ matched: 1 });
    expect(gateway.push.pushRawData({ businessType: 'many', businessId: '999' })).toEqual({ matched: 0 });
    await client.nextEvent('rawData');
    // What it has already costs nothing, and a place that becomes free can be taken.
    expect((await client.ask('subscribe', { keys: keys.slice(0, 1) })).data['refused']).toEqual([]);
    await client.ask('unsubscribe', { keys: keys.slice(0, 1) });
    expect((await client.ask('subscribe', { keys: keys.slice(999) })).data['refused']).toEqual([]);
  });

  const badMessages: [string, string][] = [
    ['no JSON', 'hello'],
    ['half of a message', '{"event":"subscribe"'],
    ['an array', '[]'],
    ['null', 'null'],
    ['no event', '{"data":{}}'],
    ['an event that is no text', '{"event":1}'],
    ['an empty event', '{"event":""}'],
    ['a long event', JSON.stringify({ event: 'e'.repeat(65) })],
    ['a ref that is an object', '{"event":"subscribe","ref":{},"data":{"keys":[]}}'],
    ['a long ref', JSON.stringify({ event: 'subscribe', ref: 'r'.repeat(65), data: { keys: [] } })],
    ['subscribe without data', '{"event":"subscribe"}'],
    ['subscribe without keys', '{"event":"subscribe","data":{}}'],
    ['keys that are no array', '{"event":"subscribe","data":{"keys":{}}}'],
    ['a key that is a text', '{"event":"subscribe","data":{"keys":["dev"]}}'],
    ['a key without id', '{"event":"subscribe","data":{"keys":[{"businessType":"dev"}]}}'],
    ['a key of numbers', '{"event":"subscribe","data":{"keys":[{"businessType":1,"businessId":2}]}}'],
    ['an empty part', '{"event":"subscribe","data":{"keys":[{"businessType":"dev","businessId":""}]}}'],
    ['every type', '{"event":"subscribe","data":{"keys":[{"businessType":"*","businessId":"*"}]}}'],
    ['dots', '{"event":"subscribe","data":{"keys":[{"businessType":"..","businessId":"1"}]}}'],
    ['a control character', '{"event":"subscribe","data":{"keys":[{"businessType":"a\\u0000b","businessId":"1"}]}}'],
    ['half of a surrogate pair', '{"event":"subscribe","data":{"keys":[{"businessType":"\\ud800","businessId":"1"}]}}'],
    [
      'a frequency of 0',
      '{"event":"subscribe","data":{"keys":[{"businessType":"a","businessId":"1","maxFrequencyHz":0}]}}',
    ],
    ['a mark without a number', '{"event":"mark","data":{}}'],
  ];
  test.each(badMessages)('%s is answered by an exception, and the connection goes on', async (_what, text) => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connectPushV1(RAW_DATA_PATH);
    client.send(text);
    const exception = await client.nextEvent('exception');
    expect(exception.data).toEqual({ code: 'badMessage', message: expect.any(String) });
    expect(JSON.stringify(exception)).not.toContain('hello');
    expect(gateway.rawData.subscriptions(client.clientId)).toEqual([{ businessType: 'dev', businessId: '1' }]);
    expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '1' })).toEqual({ matched: 1 });
    await client.nextEvent('rawData');
  });

  test('one bad key refuses the whole message and repeats its ref', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connectPushV1(RAW_DATA_PATH);
    const keys = [
      { businessType: 'dev', businessId: '2' },
      { businessType: 'dev', businessId: '' },
    ];
    expect(await client.ask('subscribe', { keys }, 'r1')).toEqual({
      event: 'exception',
      ref: 'r1',
      data: { code: 'badMessage', message: expect.stringContaining('businessId') },
    });
    expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '2' })).toEqual({ matched: 0 });
  });

  test('an event that nobody knows is answered by an exception with its ref', async () => {
    const gateway = await gatewayOn(platform).start();
    for (const path of [RAW_DATA_PATH, '/ws/alarm']) {
      const client = await gateway.connectPushV1(path);
      expect(await client.ask('refresh', {}, 3)).toEqual({
        event: 'exception',
        ref: 3,
        data: { code: 'unknownEvent', message: expect.any(String) },
      });
    }
    const alarm = await gateway.connectPushV1('/ws/alarm');
    expect((await alarm.ask('subscribe', { keys: [] })).data['code']).toBe('unknownEvent');
  });

  test('a mark that nobody sent is ignored', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connectPushV1(RAW_DATA_PATH);
    client.send('{"event":"mark","data":{"n":12345}}');
    expect((await client.ask('refresh', {})).event).toBe('exception');
  });

  test('marks ride along with much data, and returned ones keep it flowing', async () => {
    // However slow this machine is, no pressure begins.
    const options = { inFlightBytes: 8192, conflateAfterMs: 60_000 };
    const gateway = await gatewayOn(platform).withOptions(options).start();
    const client = await gateway.connectPushV1(RAW_DATA_PATH);
    const filling = 'x'.repeat(1000);
    const total = 60;
    for (let n = 0; n < total; n++) gateway.push.pushRawData({ businessType: 'dev', businessId: '1', n, filling });
    for (let n = 0; n < total; n++) expect((await client.nextEvent('rawData')).data['n']).toBe(n);
    expect(client.marks).toBeGreaterThan(4);
  });

  test.each([
    ['an unknown one', 'push.v2'],
    ['several unknown ones', 'chat, push.v2'],
    ['another case', 'PUSH.V1'],
    ['an empty one', ''],
    ['a malformed list', 'push.v1,,x'],
    ['one twice', 'push.v1, push.v1'],
    ['no token', 'push v1'],
  ])('subprotocol, %s: 400', async (_what, offer) => {
    const gateway = await gatewayOn(platform).start();
    const answer = await rawUpgrade(gateway.port, {
      path: RAW_DATA_PATH,
      headers: { 'Sec-WebSocket-Protocol': offer },
    });
    expect(answer).toMatchObject({ status: 400, json: { statusCode: 400, error: 'subprotocol' } });
    expect(gateway.rawData.count()).toBe(0);
  });

  test('push.v1 is chosen among several offers', async () => {
    const gateway = await gatewayOn(platform).start();
    const answer = await rawUpgrade(gateway.port, {
      path: RAW_DATA_PATH,
      headers: { 'Sec-WebSocket-Protocol': 'chat, push.v1' },
    });
    expect(answer.status).toBe(101);
    expect(answer.headers['sec-websocket-protocol']).toBe('push.v1');
  });
});

describe.each(PLATFORMS)('what applications hear on %s', (platform) => {
  test('messages$ on the plain wire: text as text, binary as bytes', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connect(RAW_DATA_PATH);
    const alarm = await gateway.connect('/ws/alarm');
    const sent: unknown[] = [];
    gateway.rawData.messages$.subscribe(({ client: { userName, wireFormat }, event, data }) =>
      sent.push({ userName, wireFormat, event, data }),
    );
    gateway.alarms.messages$.subscribe(({ client: { key }, data }) => sent.push({ key, data }));
    client.send('not even JSON');
    client.send(Buffer.from([0, 255]));
    alarm.send('{"seen":1}');
    await until(() => sent.length === 3, 'three messages');
    expect(sent).toContainEqual({ userName: 'ann', wireFormat: 'plain', event: undefined, data: 'not even JSON' });
    expect(sent).toContainEqual({
      userName: 'ann',
      wireFormat: 'plain',
      event: undefined,
      data: Buffer.from([0, 255]),
    });
    expect(sent).toContainEqual({ key: expect.stringMatching(/^websocket:alarm:[^:]+$/), data: '{"seen":1}' });
  });

  test("messages$ on push.v1: the application's own events, never ours", async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connectPushV1(RAW_DATA_PATH);
    const sent: unknown[] = [];
    gateway.rawData.messages$.subscribe(({ event, data }) => sent.push({ event, data }));
    client.send('{"event":"acknowledge","data":{"alarm":5}}');
    client.send('{"event":"mark","data":{"n":1}}');
    expect((await client.ask('subscribe', { keys: [] })).event).toBe('subscribed');
    client.send(Buffer.from('{"event":"acknowledge"}'));
    expect((await client.nextEvent('exception')).data['code']).toBe('badMessage');
    expect(sent).toEqual([{ event: 'acknowledge', data: { alarm: 5 } }]);
  });

  test('connected$ and disconnected$, once each, with code and reason', async () => {
    const gateway = await gatewayOn(platform).start();
    const heard: string[] = [];
    for (const registry of [gateway.rawData, gateway.alarms]) {
      registry.connected$.subscribe(({ client }) => heard.push(`+${client.userName} of ${registry.count()}`));
      registry.disconnected$.subscribe(({ client, code, reason }) =>
        heard.push(`-${client.userName} ${code} ${reason}`),
      );
    }
    const ann = await gateway.connect('/ws/rowdata/dev/1/ann');
    await ann.close(4001, 'bye 再见');
    await until(() => heard.length === 2, 'a closed connection');
    const bob = await gateway.connect('/ws/rowdata/dev/1/bob');
    await bob.cut();
    await until(() => heard.length === 4, 'a cut connection');
    const cid = await gateway.connect('/ws/rowdata/dev/1/cid');
    await cid.close(1000);
    await until(() => heard.length === 6, 'a closed connection');
    const alarm = await gateway.connect('/ws/alarm');
    alarm.socket.close();
    await until(() => heard.length === 8, 'a connection closed without a code');
    expect(heard).toEqual([
      '+ann of 1',
      '-ann 4001 bye 再见',
      '+bob of 1',
      '-bob 1006 ',
      '+cid of 1',
      '-cid 1000 ',
      '+ of 1',
      '- 1005 ',
    ]);
  });

  test('disconnect ends one connection with code and reason, after what was pushed', async () => {
    const gateway = await gatewayOn(platform).start();
    const client = await gateway.connect(RAW_DATA_PATH);
    const other = await gateway.connect('/ws/rowdata/dev/1/bob');
    gateway.push.pushRawData({ businessType: 'dev', n: 1 });
    expect(gateway.rawData.disconnect(gateway.clientIdOf('ann'), 4100, 'moved')).toBe(true);
    expect(gateway.rawData.disconnect('nobody')).toBe(false);
    expect(await client.next()).toBe('{"businessType":"dev","n":1}');
    expect(await within(client.closed, 'close')).toEqual({ code: 4100, reason: 'moved' });
    expect(await gateway.heardBy({ other })).toEqual({ other: ['{"businessType":"dev","n":1}'] });
    expect(gateway.rawData.count()).toBe(1);
  });

  test('a message over maxMessageBytes closes the connection with 1009 and harms nobody', async () => {
    const gateway = await gatewayOn(platform).withOptions({ maxMessageBytes: 128 }).start();
    const client = await gateway.connect(RAW_DATA_PATH);
    const other = await gateway.connect('/ws/rowdata/dev/1/bob');
    client.send('x'.repeat(129));
    expect((await within(client.closed, 'close')).code).toBe(1009);
    other.send('x'.repeat(128));
    expect(await gateway.heardBy({ other })).toEqual({ other: [] });
  });

  describe('listeners that fail end nothing', () => {
    // What escapes as an uncaught exception or an unhandled rejection fails the test by itself.
    const failures: [string, () => unknown][] = [
      ['throws', broken],
      ['rejects', () => Promise.reject(new Error('a bug in the application'))],
      ['rejects with nothing', () => Promise.reject(undefined as unknown as Error)],
    ];

    test.each(failures)('one that %s', async (_how, fail) => {
      const gateway = await gatewayOn(platform).start();
      const heard: string[] = [];
      for (const registry of [gateway.rawData, gateway.alarms]) {
        registry.connected$.subscribe(() => fail() as void);
        registry.messages$.subscribe(() => fail() as void);
        registry.disconnected$.subscribe({ next: () => fail() as void });
        registry.connected$.subscribe(() => heard.push('connected'));
        registry.messages$.subscribe(() => heard.push('message'));
        registry.disconnected$.subscribe(() => heard.push('disconnected'));
      }
      for (const path of [RAW_DATA_PATH, '/ws/alarm']) {
        for (let round = 0; round < 2; round++) {
          heard.length = 0;
          const client = await gateway.connect(path);
          client.send('hello');
          client.send('again');
          await client.close();
          await until(() => heard.length === 4, 'all events');
          expect(heard).toEqual(['connected', 'message', 'message', 'disconnected']);
        }
      }
      expect(gateway.rawData.count() + gateway.alarms.count()).toBe(0);
    });

    test('one that throws in an operator', async () => {
      const gateway = await gatewayOn(platform).start();
      const heard: string[] = [];
      const { connected$, messages$, disconnected$ } = gateway.rawData;
      connected$.pipe(map(broken)).subscribe();
      connected$.pipe(map(String), tap(broken)).subscribe((text) => heard.push(text));
      messages$.pipe(mergeMap(() => Promise.reject(new Error('a bug in the application')))).subscribe();
      messages$.pipe(map(broken)).subscribe({ error: broken });
      disconnected$
        .pipe(map(broken))
        .forEach(() => {})
        .catch(() => heard.push('rejected'));
      messages$.subscribe(({ data }) => heard.push(String(data)));
      for (const text of ['one', 'two']) {
        const client = await gateway.connect(RAW_DATA_PATH);
        client.send(text);
        await client.close();
      }
      await until(() => heard.includes('two') && heard.includes('rejected'), 'the healthy listeners');
      expect(heard.filter((each) => each !== 'rejected')).toEqual(['one', 'two']);
    });

    test('one that disconnects the client it hears of, and pushes, from within', async () => {
      const gateway = await gatewayOn(platform).start();
      const reasons: string[] = [];
      gateway.rawData.connected$.subscribe(({ client }) => {
        gateway.push.pushRawData({ businessType: 'dev', businessId: '1', welcome: true });
        gateway.rawData.disconnect(client.clientId, 4200, 'not today');
      });
      gateway.rawData.disconnected$.subscribe(({ reason }) => {
        reasons.push(reason);
        gateway.push.pushRawData({ businessType: 'dev', businessId: '1', left: true });
      });
      const client = await gateway.connect(RAW_DATA_PATH);
      expect(await client.next()).toContain('welcome');
      expect(await within(client.closed, 'close')).toEqual({ code: 4200, reason: 'not today' });
      await until(() => reasons.length === 1, 'disconnected$');
      expect(reasons).toEqual(['not today']);
    });
  });
});

test('close codes that frontends rely on', () => {
  expect(Object.entries(CloseCodes).map(([name, { code, advice }]) => `${code} ${name}: ${advice}`)).toEqual([
    '1012 drain: retry',
    '4400 badMessage: stop',
    '4401 token: refresh',
    '4403 forbidden: stop',
    '4408 tooSlow: retry',
    '4409 takenOver: stop',
    '4410 overtaken: retry',
    '4413 outboxFull: retry',
    '4429 flood: back off',
  ]);
});
