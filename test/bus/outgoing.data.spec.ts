import { describe, expect, test } from '@jest/globals';
import type { RawDataEnvelope } from '../../src/bus/bus.js';
import { decodeEnvelopes, encodeEnvelopes } from '../../src/bus/envelope.encoding.js';
import { OutgoingData } from '../../src/bus/outgoing.data.js';
import { conflationKey } from '../../src/fan-out/key.js';

const MEBIBYTE = 1024 * 1024;
let sequence = 0;

function datum(series: string, value: number | string, fields: Partial<RawDataEnvelope> = {}) {
  const datumJson = JSON.stringify({ value });
  const key = conflationKey('dev', '1', series);
  const address = { businessType: 'dev', businessId: '1', to: undefined, except: undefined };
  return { sequence: (sequence += 1), envelope: { datumJson, conflationKey: key, ...address, ...fields } };
}

function taken(outgoing: OutgoingData, maxBytes = MEBIBYTE): [string, unknown[]] | undefined {
  const next = outgoing.take(maxBytes);
  return (
    next && [
      next.channel,
      next.data.map(({ envelope }) => (JSON.parse(envelope.datumJson) as { value: unknown }).value),
    ]
  );
}

const pad = (value: string) => value.padEnd(400);

describe('what waits to be sent', () => {
  test('is all of it, channel by channel, in order', () => {
    const outgoing = new OutgoingData({ maxWaitingBytes: MEBIBYTE });
    outgoing.add('a', datum('s', 1));
    outgoing.add('b', datum('s', 2));
    outgoing.add('a', datum('s', 3));
    expect(taken(outgoing)).toEqual(['a', [1, 3]]);
    expect(taken(outgoing)).toEqual(['b', [2]]);
    expect(taken(outgoing)).toBeUndefined();
    expect(outgoing).toMatchObject({ isEmpty: true, byteLength: 0, conflatedCount: 0, droppedCount: 0 });
  });

  test('is taken in messages of a bounded size, the oldest channel first, and never less than one', () => {
    const outgoing = new OutgoingData({ maxWaitingBytes: MEBIBYTE });
    for (const value of [1, 2, 3]) outgoing.add('a', datum('s', `${value}`.padEnd(200)));
    outgoing.add('b', datum('s', 4));
    expect(taken(outgoing, 600)?.[1]).toHaveLength(2);
    expect(taken(outgoing, 1)?.[1]).toHaveLength(1);
    expect(taken(outgoing)).toEqual(['b', [4]]);
  });

  test('under pressure is the newest of each series, in the place of the older one', () => {
    const outgoing = new OutgoingData({ maxWaitingBytes: MEBIBYTE });
    for (const [series, value] of Object.entries({ s: 1, t: 2 })) outgoing.add('a', datum(series, value));
    outgoing.add('a', datum('s', 3));
    outgoing.beginPressure();
    outgoing.add('a', datum('t', 4));
    outgoing.add('a', datum('u', 5));
    expect(outgoing.conflatedCount).toBe(2);
    expect(taken(outgoing)).toEqual(['a', [3, 4, 5]]);
    outgoing.add('a', datum('s', 6));
    outgoing.add('a', datum('s', 7));
    expect(taken(outgoing)).toEqual(['a', [6, 7]]);
  });

  test('under pressure makes a message that can be read, whatever was replaced', () => {
    const outgoing = new OutgoingData({ maxWaitingBytes: MEBIBYTE });
    for (const series of ['s', 't', 'u']) outgoing.add('a', datum(series, 0));
    outgoing.beginPressure();
    for (const series of ['u', 's']) outgoing.add('a', datum(series, 1));
    const { data } = outgoing.take(MEBIBYTE) ?? { data: [] };
    const sequences = data.map((each) => each.sequence);
    expect(sequences).toEqual(sequences.toSorted((one, other) => one - other));
    const decoded = decodeEnvelopes(encodeEnvelopes('node', data));
    expect(decoded).toEqual(
      data.map(({ envelope, sequence: number }) => ({ envelope, origin: { nodeId: 'node', sequence: number } })),
    );
  });

  test('what is for others does not take the place of what is for these', () => {
    const outgoing = new OutgoingData({ maxWaitingBytes: MEBIBYTE });
    outgoing.add('a', datum('s', 1));
    outgoing.beginPressure();
    outgoing.add('a', datum('s', 2, { except: 'c' }));
    outgoing.add('a', datum('s', 3, { to: { businessType: 'dev' } }));
    outgoing.add('a', datum('s', 4, { except: 'c' }));
    expect(taken(outgoing)).toEqual(['a', [1, 3, 4]]);
  });

  test('over its budget conflates, and then the oldest go', () => {
    const outgoing = new OutgoingData({ maxWaitingBytes: 4000 });
    for (let n = 0; n < 100; n++) outgoing.add('a', datum('s', pad(`${n}`)));
    expect(outgoing.byteLength).toBeLessThanOrEqual(4000);
    expect(outgoing.droppedCount).toBe(0);
    expect(outgoing.conflatedCount).toBeGreaterThan(80);
    for (let n = 0; n < 100; n++) outgoing.add('b', datum(`s${n}`, pad(`${n}`)));
    expect(outgoing.byteLength).toBeLessThanOrEqual(4000);
    expect(outgoing.droppedCount).toBeGreaterThan(80);
    const [channel, values] = taken(outgoing) ?? [];
    expect(channel).toBe('b');
    expect(values?.at(-1)).toBe(pad('99'));
  });

  test('a single datum may be larger than the budget', () => {
    const outgoing = new OutgoingData({ maxWaitingBytes: 100 });
    outgoing.add('a', datum('s', 'x'.repeat(1000)));
    expect(outgoing.droppedCount).toBe(0);
    expect(taken(outgoing)?.[1]).toHaveLength(1);
  });
});
