import { randomBytes } from 'node:crypto';

const MASKED = 0x80;

/** A client's frame (RFC 6455 section 5.3). A mask of zeros is a mask, and leaves the payload as it is. */
export function clientFrame(opcode: number, payload: Uint8Array): Buffer {
  const headerBytes = payload.length < 126 ? 2 : 4;
  const frame = Buffer.alloc(headerBytes + 4 + payload.length);
  frame[0] = 0x80 | opcode;
  if (headerBytes === 2) frame[1] = MASKED | payload.length;
  else {
    frame[1] = MASKED | 126;
    frame.writeUInt16BE(payload.length, 2);
  }
  frame.set(payload, headerBytes + 4);
  return frame;
}

export function upgradeRequest(path: string, port: number, headers: readonly string[]): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    ...headers,
    '\r\n',
  ].join('\r\n');
}
