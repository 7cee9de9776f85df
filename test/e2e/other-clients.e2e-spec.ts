import { describe, expect, test } from '@jest/globals';
import { WebSocket as UndiciWebSocket } from 'undici';
import { PUSH_V1 } from '../../src/index.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import { describeWith } from '../support/programs.js';
import { PythonClient } from '../support/python.js';
import { openSocket, readUntil, upgradeBytes } from '../support/raw-upgrade.js';

const RAW_DATA_PATH = '/ws/rowdata/dev/1/%E5%AE%89';
const DATUM = { businessType: 'dev', businessId: '1', text: '温度 "21°" 🔥' };
const ALARM = { businessId: '1', severity: 900, text: 'überhitzt' };
const FAST = { heartbeatIntervalMs: 50, heartbeatTimeoutMs: 800 };

/** Waits until a connection that began now and never pongs is ended: whoever is still there pongs. */
async function outliveMute(gateway: TestGateway): Promise<void> {
  const mute = await openSocket(gateway.port);
  mute.write(upgradeBytes(gateway.port, { path: '/ws/rowdata/dev/1/mute' }));
  await readUntil(mute, () => false);
  mute.destroy();
  await until(() => gateway.rawData.count() < 2, 'the mute one is gone');
}

/** What a client of some other library saw, in one form for all of them. */
interface OtherClient {
  /** The subprotocol, once it is open. */
  opened(): Promise<string>;
  message(): Promise<string>;
  closed(): Promise<{ code: number; reason: string }>;
}

async function pushV1Message(client: OtherClient): Promise<Record<string, unknown>> {
  for (;;) {
    const message = JSON.parse(await client.message()) as Record<string, unknown>;
    // Personal and in between: which of them come is a matter of timing.
    if (message['event'] !== 'heartbeat' && message['event'] !== 'mark') return message;
  }
}

function expectToServe(connect: (url: string, subprotocols: string[]) => OtherClient): void {
  describe.each(PLATFORMS)('on %s', (platform) => {
    const start = (): Promise<TestGateway> => gatewayOn(platform).withOptions(FAST).start();

    test('plain: connects, gets data byte for byte, pongs, and sees the close code', async () => {
      const gateway = await start();
      const raw = connect(gateway.url(RAW_DATA_PATH), []);
      const alarm = connect(gateway.url('/ws/alarm'), []);
      expect([await raw.opened(), await alarm.opened()]).toEqual(['', '']);
      await until(() => gateway.rawData.count() === 1 && gateway.alarms.count() === 1, 'both are known');
      expect(gateway.rawData.clients()[0]).toMatchObject({ userName: '安', wireFormat: 'plain' });
      expect(gateway.push.pushRawData(DATUM)).toEqual({ matched: 1 });
      await gateway.push.pushAlarm(ALARM);
      expect(await raw.message()).toBe(JSON.stringify(DATUM));
      expect(await alarm.message()).toBe(JSON.stringify(ALARM));
      await outliveMute(gateway);
      expect([gateway.rawData.count(), gateway.alarms.count()]).toEqual([1, 1]);
      gateway.rawData.disconnect(gateway.clientIdOf('安'), 4100, 'bis später');
      expect(await raw.closed()).toEqual({ code: 4100, reason: 'bis später' });
      await gateway.close();
      expect(await alarm.closed()).toEqual({ code: 1012, reason: 'server is restarting' });
    });

    test('push.v1: ready, data, alarms, and the close code', async () => {
      const gateway = await start();
      const raw = connect(gateway.url(RAW_DATA_PATH), [PUSH_V1]);
      const alarm = connect(gateway.url('/ws/alarm'), [PUSH_V1]);
      expect([await raw.opened(), await alarm.opened()]).toEqual([PUSH_V1, PUSH_V1]);
      expect(await pushV1Message(raw)).toMatchObject({ event: 'ready', data: { clientId: gateway.clientIdOf('安') } });
      expect(await pushV1Message(alarm)).toMatchObject({ event: 'ready' });
      gateway.push.pushRawData(DATUM);
      const { cursor } = await gateway.push.pushAlarm(ALARM);
      expect(await pushV1Message(raw)).toEqual({ event: 'rawData', data: DATUM });
      expect(await pushV1Message(alarm)).toEqual({ event: 'alarm', id: cursor, data: ALARM });
      await outliveMute(gateway);
      expect([gateway.rawData.count(), gateway.alarms.count()]).toEqual([1, 1]);
      await gateway.close();
      expect((await raw.closed()).code).toBe(1012);
      expect((await alarm.closed()).code).toBe(1012);
    });

    test('a thousand data of 1 KB, more than the window holds: all, in order', async () => {
      // However slow this machine is, no pressure begins.
      const gateway = await gatewayOn(platform).withOptions({ conflateAfterMs: 60_000 }).start();
      for (const subprotocols of [[], [PUSH_V1]]) {
        const client = connect(gateway.url('/ws/rowdata/dev/1/u'), subprotocols);
        await client.opened();
        await until(() => gateway.rawData.count() === 1, 'it is known');
        const filling = 'x'.repeat(1000);
        for (let n = 0; n < 1000; n++) {
          // As a source does: not more at once than fits, so that nothing has to be conflated.
          if (n % 20 === 0) await until(() => gateway.rawData.clients()[0]?.outboxBytes === 0, 'it keeps up');
          gateway.push.pushRawData({ businessType: 'dev', businessId: '1', n, filling });
        }
        for (let n = 0; n < 1000;) {
          const text = await client.message();
          if (!text.includes('"filling"')) continue;
          expect(text).toContain(`"n":${n},`);
          n += 1;
        }
        expect(gateway.rawData.clients()[0]?.conflated).toBe(0);
        gateway.rawData.disconnect(gateway.clientIdOf('u'));
        await client.closed();
        await until(() => gateway.rawData.count() === 0, 'it is gone');
      }
    });
  });
}

describe("undici's WebSocket", () => {
  class UndiciClient implements OtherClient {
    private readonly received: string[] = [];
    private closeEvent: { code: number; reason: string } | undefined;

    constructor(private readonly socket: UndiciWebSocket) {
      socket.addEventListener('message', ({ data }) => {
        const text = String(data);
        this.received.push(text);
        if (text.startsWith('{"event":"mark"')) socket.send(text);
      });
      socket.addEventListener('close', ({ code, reason }) => (this.closeEvent = { code, reason }));
      socket.addEventListener('error', () => {});
    }

    async opened(): Promise<string> {
      await until(() => this.socket.readyState === UndiciWebSocket.OPEN, 'undici opens');
      return this.socket.protocol;
    }

    async message(): Promise<string> {
      await until(() => this.received.length > 0, 'undici gets a message');
      return this.received.shift() ?? '';
    }

    async closed(): Promise<{ code: number; reason: string }> {
      await until(() => this.closeEvent !== undefined, 'undici sees the close');
      return this.closeEvent ?? { code: 0, reason: '' };
    }
  }

  expectToServe((url, subprotocols) => new UndiciClient(new UndiciWebSocket(url, subprotocols)));

  test('a refused upgrade is an error and a close with 1006', async () => {
    const gateway = await gatewayOn('express').start();
    const client = new UndiciClient(new UndiciWebSocket(gateway.url('/ws/rowdata/a/*/u')));
    expect((await client.closed()).code).toBe(1006);
  });
});

describeWith('python3-websockets', "Debian's python3-websockets", () => {
  class PythonSide implements OtherClient {
    constructor(private readonly client: PythonClient) {}

    async opened(): Promise<string> {
      return String((await this.client.next())['open']);
    }

    async message(): Promise<string> {
      return String((await this.client.next())['message']);
    }

    async closed(): Promise<{ code: number; reason: string }> {
      for (;;) {
        const { close, reason } = await this.client.next();
        if (close === undefined) continue;
        await within(this.client.exited, 'Python ends');
        return { code: Number(close), reason: String(reason) };
      }
    }
  }

  expectToServe((url, subprotocols) => new PythonSide(PythonClient.connect(url, subprotocols)));

  test('a refused upgrade is told with its status', async () => {
    const gateway = await gatewayOn('fastify').start();
    expect(await PythonClient.connect(gateway.url('/ws/rowdata/a/*/u')).next()).toEqual({ refused: 400 });
  });
});
