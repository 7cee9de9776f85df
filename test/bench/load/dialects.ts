import type { Dialect } from '../contenders.js';

/** What a text frame is. An alarm is a datum here. `mark` and `ping` are to be answered, `greeting` says that the connection is ready. */
export type TextKind = 'datum' | 'mark' | 'ping' | 'open' | 'greeting' | 'other';

/** Tells text frames apart by a byte or two: these run for every datum. */
export const kindOfText: Record<Dialect, (bytes: Buffer, start: number) => TextKind> = {
  plain: () => 'datum',
  'push.v1': kindOfPushV1,
  'socket.io': kindOfSocketIo,
};

const EVENT_PLACE = '{"event":"'.length;
const [LETTER_A, LETTER_D, LETTER_E, LETTER_M, LETTER_R, LETTER_S] = [...Buffer.from('ademrs')];
const [DIGIT_0, DIGIT_2, DIGIT_4] = [...Buffer.from('024')];

/** `rawData`, `alarm`, `ready`, `mark`, `subscribed`; all else is not for a benchmark. */
function kindOfPushV1(bytes: Buffer, start: number): TextKind {
  const first = bytes[start + EVENT_PLACE];
  const second = bytes[start + EVENT_PLACE + 1];
  if (first === LETTER_R) return second === LETTER_A ? 'datum' : second === LETTER_E ? 'greeting' : 'other';
  if (first === LETTER_A) return 'datum';
  if (first === LETTER_M) return 'mark';
  return first === LETTER_S || first === LETTER_D ? 'greeting' : 'other';
}

/** Engine.IO 4: `0…` open, `2` ping, `4` a packet of Socket.IO: there `0` connected and `2` an event. */
function kindOfSocketIo(bytes: Buffer, start: number): TextKind {
  const type = bytes[start];
  if (type === DIGIT_0) return 'open';
  if (type === DIGIT_2) return 'ping';
  if (type !== DIGIT_4) return 'other';
  return bytes[start + 1] === DIGIT_2 ? 'datum' : 'greeting';
}
