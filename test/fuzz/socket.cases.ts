import { once } from 'node:events';
import { within } from '../support/deadline.js';
import { PushClient } from '../support/push.client.js';
import type { Random } from '../support/random.js';
import { openSocket, upgradeBytes } from '../support/raw-upgrade.js';
import { takeFrames } from '../support/raw-websocket.js';
import { randomFrames, randomMessage, randomRequest, requestText } from './generators.js';
import { rawFrame, TEXT } from '../support/raw-frames.js';

/** The gateway that is attacked. It has to allow as many upgrades as are tried. */
export interface FuzzTarget {
  readonly port: number;
  pushRawData(datum: { businessType: string; businessId: string; n: number }): { matched: number };
}

export interface SocketTally {
  upgraded: number;
  refused: number;
  unanswered: number;
  resets: number;
}

const CONTROL = { businessType: 'control', businessId: '1' };
const PATHS = [
  '/ws/rowdata/dev/1/ann',
  '/ws/rowdata/a/b/c?snapshot=true&maxFrequencyHz=5',
  '/ws/alarm',
  '/ws/alarm?replay=all',
];
/** Connections at once. */
const LANES = 20;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Sends so many hostile connections; throws where a well-behaved client beside them misses something. */
export async function runSocketCases(
  random: Random,
  cases: number,
  target: FuzzTarget,
  progress: (done: number) => void = () => {},
): Promise<SocketTally> {
  const tally: SocketTally = { upgraded: 0, refused: 0, unanswered: 0, resets: 0 };
  const control = await PushClient.connect(`ws://127.0.0.1:${target.port}/ws/rowdata/control/1/control`);
  let pushed = 0;
  try {
    for (let done = 0; done < cases; done += LANES) {
      const lanes = Array.from({ length: Math.min(LANES, cases - done) }, () => caseOf(random, target.port));
      const answers = Promise.all(lanes.map(async (run) => count(await run(), tally)));
      if (target.pushRawData({ ...CONTROL, n: pushed }).matched !== 1) throw new Error('the control client is gone');
      pushed += 1;
      await answers;
      if (done % 1000 === 0) progress(done);
    }
    for (let n = 0; n < pushed; n++) {
      const text = await control.next();
      if (text !== JSON.stringify({ ...CONTROL, n }))
        throw new Error(`the control client got ${text} in place of ${n}`);
    }
  } finally {
    await control.cut();
  }
  return tally;
}

/** What is sent is made before anything else runs, so that a seed gives the same again. */
function caseOf(random: Random, port: number): () => Promise<Buffer | 'reset'> {
  const kind = random.weighted({ request: 3, frames: 3, messages: 4 });
  const upgrade = () =>
    upgradeBytes(port, {
      path: random.pick(PATHS),
      headers: {
        ...(random.chance(0.6) ? { 'Sec-WebSocket-Protocol': 'push.v1' } : {}),
        ...(random.chance(0.5) ? { 'Sec-WebSocket-Extensions': 'permessage-deflate' } : {}),
      },
    });
  const messages = () =>
    Array.from({ length: 1 + random.below(random.pick([5, 5, 5, 300])) }, () =>
      rawFrame({ opcode: TEXT, payload: randomMessage(random) }),
    );
  const bytes =
    kind === 'request'
      ? Buffer.from(requestText(random, randomRequest(random)))
      : Buffer.concat([upgrade(), ...(kind === 'frames' ? [randomFrames(random)] : messages())]);
  const cutAt = random.chance(0.2) ? random.below(bytes.length + 1) : bytes.length;
  const isReset = random.chance(0.1);
  return () => attack(port, [bytes.subarray(0, cutAt), bytes.subarray(cutAt)], isReset);
}

/** Sends it, ends its side or resets, and gives what was answered until the server ended too. */
async function attack(port: number, parts: readonly Buffer[], isReset: boolean): Promise<Buffer | 'reset'> {
  const socket = await openSocket(port);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const closed = once(socket, 'close');
  for (const part of parts) socket.write(part);
  if (isReset) socket.resetAndDestroy();
  else socket.end();
  try {
    await within(closed, 'the server ends a connection whose client has ended');
  } finally {
    socket.destroy();
  }
  return isReset ? 'reset' : Buffer.concat(chunks);
}

function count(answer: Buffer | 'reset', tally: SocketTally): void {
  if (answer === 'reset') tally.resets += 1;
  else if (answer.length === 0) tally.unanswered += 1;
  else if (isUpgrade(answer)) tally.upgraded += 1;
  else tally.refused += 1;
}

/** True: what follows the head are frames, each whole and right. False: the answer is a refusal, or another page's. */
function isUpgrade(answer: Buffer): boolean {
  const headEnd = answer.indexOf('\r\n\r\n');
  const head = answer.toString('latin1', 0, headEnd);
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]);
  if (headEnd < 0 || !(status >= 100 && status < 500)) throw new Error(`the answer is ${answer.toString('latin1')}`);
  if (status !== 101) return false;
  const isCompressed = head.toLowerCase().includes('permessage-deflate');
  const { frames, rest } = takeFrames(answer.subarray(headEnd + 4), isCompressed);
  if (rest.length > 0) throw new Error(`a frame was cut off: ${rest.toString('hex')}`);
  for (const { opcode, payload, isDeflated } of frames) if (opcode === TEXT && !isDeflated) utf8.decode(payload);
  return true;
}
