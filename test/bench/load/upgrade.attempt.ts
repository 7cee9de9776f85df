import { connect, type Socket } from 'node:net';
import { nowMicros } from '../clock.js';
import { upgradeRequest } from './client.frame.js';

export interface UpgradePlace {
  readonly port: number;
  readonly path: string;
  readonly localAddress: string;
}

export interface UpgradeAnswer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly begunMicros: number;
  /** When the head of the answer was read. */
  readonly atMicros: number;
}

const END_OF_HEAD = '\r\n\r\n';

/** A connection and an upgrade on it, and no more: whatever comes behind the answer's head is read and dropped. */
export class UpgradeAttempt {
  readonly socket: Socket;
  readonly answer: Promise<UpgradeAnswer>;

  constructor({ port, path, localAddress }: UpgradePlace) {
    const begunMicros = nowMicros();
    const socket = connect({ host: '127.0.0.1', port, localAddress });
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('connect', () => socket.write(upgradeRequest(path, port, [])));
    this.answer = new Promise((resolve, reject) => {
      let head = '';
      const read = (bytes: Buffer) => {
        head += bytes.toString('latin1');
        if (!head.includes(END_OF_HEAD)) return;
        socket.off('data', read);
        socket.resume();
        resolve({ ...parseHead(head), begunMicros, atMicros: nowMicros() });
      };
      socket.on('data', read);
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('the server closed the connection without an answer')));
    });
  }
}

function parseHead(head: string): Pick<UpgradeAnswer, 'status' | 'retryAfter'> {
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? NaN),
    retryAfter: /^retry-after: *(\S+)/im.exec(head)?.[1],
  };
}
