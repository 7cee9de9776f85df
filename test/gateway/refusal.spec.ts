import { ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { type Refusal, refuseRequest, refuseUpgrade } from '../../src/gateway/refusal.js';
import { requestOf } from '../access/request.js';

const REFUSAL: Refusal = {
  status: 429,
  error: 'addressLimit',
  message: 'zu viele, 太多',
  headers: { 'Retry-After': '5' },
};

async function answerOf(refusal: Refusal): Promise<{ head: string[]; body: string; bodyBytes: number }> {
  const socket = new PassThrough();
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  refuseUpgrade(socket, refusal);
  await closed;
  const [head = '', body = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n');
  return { head: head.split('\r\n'), body, bodyBytes: Buffer.byteLength(body) };
}

describe('refuseUpgrade', () => {
  test('answers with a whole HTTP response, and ends the connection', async () => {
    const { head, body, bodyBytes } = await answerOf(REFUSAL);
    expect(head[0]).toBe('HTTP/1.1 429 Too Many Requests');
    expect(head).toEqual(
      expect.arrayContaining([
        'Content-Type: application/json; charset=utf-8',
        `Content-Length: ${bodyBytes}`,
        'Connection: close',
        'Retry-After: 5',
      ]),
    );
    expect(JSON.parse(body)).toEqual({ statusCode: 429, error: 'addressLimit', message: 'zu viele, 太多' });
  });

  test('cuts a socket that takes nothing any more', () => {
    const socket = new PassThrough();
    socket.end();
    refuseUpgrade(socket, REFUSAL);
    expect(socket.destroyed).toBe(true);
  });
});

describe('refuseRequest', () => {
  test.each([
    ['GET', [expect.stringContaining('"statusCode":429')]],
    ['HEAD', [undefined]],
  ])('answers %s', (method, expected) => {
    const request = requestOf({ method });
    const response = new ServerResponse(request);
    const ends: unknown[] = [];
    response.end = (chunk?: unknown) => {
      ends.push(chunk);
      return response;
    };
    refuseRequest(request, response, REFUSAL);
    expect(response.statusCode).toBe(429);
    expect(ends).toEqual(expected);
  });
});
