import { serverMessage } from '../protocol/messages.js';
import { pingFrame, textFrame } from './frame.js';

/**
 * How a client is asked how far it has read. `message` is answered by the page itself; a `ping` is answered by the
 * client's WebSocket library, which in some browsers runs ahead of the page. `both` until a page has shown that it
 * answers messages.
 */
export const MarkKind = { ping: 0, both: 1, message: 2 } as const;
export type MarkKind = (typeof MarkKind)[keyof typeof MarkKind];
export const MARK_KINDS = 3;

/** The payload of a mark's ping, so that its pong is told from the heartbeat's, which is empty. */
const PING_PREFIX = 'm';

let memoFlushNumber = -1;
let memoBytes: (Buffer | undefined)[] = [];

/** The bytes of one flush's mark. Every client of that flush gets the same, hence the memory of one. */
export function markBytes(kind: MarkKind, flushNumber: number): Buffer {
  if (flushNumber !== memoFlushNumber) {
    memoFlushNumber = flushNumber;
    memoBytes = [];
  }
  return (memoBytes[kind] ??= buildMark(kind, flushNumber));
}

function buildMark(kind: MarkKind, flushNumber: number): Buffer {
  const ping = () => pingFrame(`${PING_PREFIX}${flushNumber}`);
  const message = () => textFrame(serverMessage('mark', { n: flushNumber }));
  switch (kind) {
    case MarkKind.ping:
      return ping();
    case MarkKind.both:
      return Buffer.concat([message(), ping()]);
    case MarkKind.message:
      return message();
    default:
      return kind satisfies never;
  }
}

/** The mark's number in a pong's payload, or undefined: the pong of a heartbeat, or one nobody asked for. */
export function markOfPong(payload: Buffer): number | undefined {
  if (payload.length < 2 || payload.length > 17 || payload[0] !== PING_PREFIX.charCodeAt(0)) return undefined;
  const number = Number(payload.toString('latin1', 1));
  return Number.isSafeInteger(number) ? number : undefined;
}
