import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { WebSocket } from 'ws';
import { isAmidMessage, PushServer, PushSocket, suitableExtensions } from '../../src/gateway/push.socket.js';
import { resolvePushOptions } from '../../src/push.options.js';
import { until, within } from '../support/deadline.js';
import { upgradeBytes } from '../support/raw-upgrade.js';

const DEFLATE = 'permessage-deflate';

describe('the offers of extensions that shared frames suit', () => {
  test.each([
    ['nothing', '', ''],
    ['as ws offers it', `${DEFLATE}; client_max_window_bits`, `${DEFLATE}; client_max_window_bits`],
    ['no parameters', DEFLATE, DEFLATE],
    ['our own window', `${DEFLATE}; server_max_window_bits=12`, `${DEFLATE}; server_max_window_bits=12`],
    ['a larger window', `${DEFLATE}; server_max_window_bits=15`, `${DEFLATE}; server_max_window_bits=15`],
    ['a smaller one', `${DEFLATE}; server_max_window_bits=11`, ''],
    ['the smallest', `${DEFLATE}; server_max_window_bits=8`, ''],
    ['a smaller one among others', `${DEFLATE}; server_no_context_takeover; server_max_window_bits=9`, ''],
    ['in quotes', `${DEFLATE}; server_max_window_bits="9"`, ''],
    ['with blanks', `${DEFLATE}; server_max_window_bits = 9`, ''],
    ['in another case', `${DEFLATE}; Server_Max_Window_Bits=9`, ''],
    ['a small window of its own', `${DEFLATE}; client_max_window_bits=8`, `${DEFLATE}; client_max_window_bits=8`],
    ['a smaller one, else without', `${DEFLATE}; server_max_window_bits=10, ${DEFLATE}`, DEFLATE],
    ['without, else a smaller one', `${DEFLATE}, ${DEFLATE}; server_max_window_bits=10`, DEFLATE],
    ['two smaller ones', `${DEFLATE}; server_max_window_bits=10, ${DEFLATE}; server_max_window_bits=9`, ''],
    ['another extension', 'x-webkit-deflate-frame', 'x-webkit-deflate-frame'],
  ])('%s', (_what, header, expected) => {
    expect(suitableExtensions(header)).toBe(expected);
  });
});

describe('what is used of ws beyond its documentation', () => {
  const ends: (() => Promise<void> | void)[] = [];

  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });

  test('the version that was resolved limits fragments', () => {
    const file = createRequire(import.meta.url).resolve('ws/package.json');
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
    const [major = 0, minor = 0] = version.split('.').map(Number);
    expect(major).toBe(8);
    expect(minor).toBeGreaterThanOrEqual(23);
  });

  /** A socket of the server, and what writes to it. */
  async function open(): Promise<{ socket: PushSocket; write: (bytes: readonly number[]) => void }> {
    const httpServer = createServer();
    const server = new PushServer(resolvePushOptions({}));
    const opened = new Promise<WebSocket>((resolve) => {
      httpServer.on('upgrade', (request, duplex, head) => server.handleUpgrade(request, duplex, head, resolve));
    });
    await new Promise<void>((resolve) => httpServer.listen(0, '127.0.0.1', resolve));
    const { port } = httpServer.address() as AddressInfo;
    const peer = connect({ port, host: '127.0.0.1' });
    ends.push(async () => {
      peer.destroy();
      await new Promise((resolve) => httpServer.close(resolve));
    });
    await within(once(peer, 'connect'), 'connect');
    peer.write(upgradeBytes(port, {}));
    const socket = await within(opened, 'the upgrade');
    if (!(socket instanceof PushSocket)) throw new Error('no PushSocket');
    return { socket, write: (bytes) => void peer.write(Buffer.from(bytes)) };
  }

  test('its receiver has the fields that tell whether a message is unfinished', async () => {
    const { socket } = await open();
    const { _receiver: receiver } = socket as unknown as { _receiver: Record<string, unknown> };
    expect(receiver).toMatchObject({ _bufferedBytes: 0, _fragmented: 0, _state: 0 });
    expect(isAmidMessage(socket)).toBe(false);
  });

  // RFC 6455 section 5.2: masked with zeros.
  test.each<[string, number[], number[]]>([
    ['the first byte of a header', [0x81], [0x81, 0, 0, 0, 0, 0x61]],
    ['a header without its mask', [0x81, 0x81], [0, 0, 0, 0, 0x61]],
    ['a header without its payload', [0x81, 0x82, 0, 0, 0, 0], [0x61, 0x62]],
    ['half of a payload', [0x81, 0x82, 0, 0, 0, 0, 0x61], [0x62]],
    ['a length that is cut', [0x81, 0xfe, 0x00], [0x7e, 0, 0, 0, 0, ...Array.from({ length: 126 }, () => 0x61)]],
    ['the first of two fragments', [0x01, 0x81, 0, 0, 0, 0, 0x61], [0x80, 0x80, 0, 0, 0, 0]],
    ['an empty first fragment', [0x01, 0x80, 0, 0, 0, 0], [0x80, 0x81, 0, 0, 0, 0, 0x61]],
    ['a ping between fragments', [0x01, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0], [0x80, 0x81, 0, 0, 0, 0, 0x61]],
  ])('%s is amid a message, until the rest comes', async (_what, begin, rest) => {
    const { socket, write } = await open();
    let messages = 0;
    socket.on('message', () => (messages += 1));
    write(begin);
    await until(() => isAmidMessage(socket), 'the message is begun');
    expect(messages).toBe(0);
    write(rest);
    await until(() => messages === 1 && !isAmidMessage(socket), 'the message is whole');
  });
});
