import { describe, expect, test } from '@jest/globals';
import type { RawDataEnvelope } from '../../src/bus/bus.js';
import { decodeEnvelopes, encodeEnvelopes, type NumberedEnvelope } from '../../src/bus/envelope.encoding.js';
import { conflationKey, seriesOfConflationKey } from '../../src/fan-out/key.js';
import { type Random, seeded } from '../support/random.js';

const NODE = 'node_-12';

function envelope(fields: Partial<RawDataEnvelope> = {}, series = ''): RawDataEnvelope {
  const address = { businessType: 'dev', businessId: '1', to: undefined, except: undefined, ...fields };
  const key = conflationKey(address.businessType, address.businessId ?? '', series);
  return { datumJson: '{"v":1}', ...address, conflationKey: key };
}

const numbered = (...envelopes: RawDataEnvelope[]): NumberedEnvelope[] =>
  envelopes.map((each, index) => ({ sequence: 7 + index, envelope: each }));

const roundTrip = (data: readonly NumberedEnvelope[]) => decodeEnvelopes(encodeEnvelopes(NODE, data));

const asSent = (data: readonly NumberedEnvelope[]) =>
  data.map(({ sequence, envelope: sent }) => ({ origin: { nodeId: NODE, sequence }, envelope: sent }));

const head = (changes: object) => ({ sequence: 1, businessType: 'dev', businessId: '1', data: [{}], ...changes });
const text = (value: unknown, lines = '\n{}') => `1${NODE} ${JSON.stringify(value)}${lines}`;

describe('one message', () => {
  test('is a version, the sender, a head and a line a datum', () => {
    const data = numbered(envelope({}, 'kw'), envelope({ datumJson: '{"v":2}' }));
    expect(encodeEnvelopes(NODE, data)).toBe(
      '1node_-12 {"sequence":7,"businessType":"dev","businessId":"1","data":[{"series":"kw"},{}]}\n{"v":1}\n{"v":2}',
    );
  });

  test.each<[string, NumberedEnvelope[]]>([
    ['one datum', numbered(envelope())],
    ['a broadcast', numbered(envelope({ businessId: undefined }), envelope({}, '电\n\t"\0x'))],
    ['several addresses', numbered(envelope(), envelope({ businessType: 'x', businessId: undefined }), envelope())],
    ['to and except', numbered(envelope({ to: { userName: 'ann', businessType: 'dev' }, except: 'c' }), envelope())],
    ['any sequence', [9, 4, 5].map((sequence) => ({ sequence, envelope: envelope() }))],
  ])('comes out as it went in: %s', (_, data) => {
    expect(roundTrip(data)).toEqual(asSent(data));
  });

  test('a newer release may say more than is known here', () => {
    const newer = head({ zone: 5, data: [{ series: 's', ttl: 1 }] });
    expect(decodeEnvelopes(text(newer, '\n{"v":1}'))).toEqual([
      { origin: { nodeId: NODE, sequence: 1 }, envelope: envelope({}, 's') },
    ]);
  });

  test('a newer version is recognised', () => {
    expect(decodeEnvelopes('2whatever it may be')).toBe('unknownVersion');
  });

  test.each<[string, string]>([
    ['nothing', ''],
    ['a version alone', '1'],
    ['no sender', '1 {}\n{}'],
    ['no head', `1${NODE} `],
    ['no JSON', `1${NODE} {"sequence":\n{}`],
    ['another kind of JSON', text([])],
    ['null', text(null)],
    ['no sequence', text(head({ sequence: undefined }))],
    ['a sequence that is no number', text(head({ sequence: '1' }))],
    ['no businessType', text(head({ businessType: undefined }))],
    ['a businessId that addresses everybody', text(head({ businessId: '*' }))],
    ['no data', text(head({ data: [] }), '')],
    ['fewer lines than data', text(head({ data: [{}, {}] }))],
    ['more lines than data', text(head({}), '\n{}\n{}')],
    ['a datum that is no object', text(head({}), '\n1')],
    ['a head of a datum that is no object', text(head({ data: [null] }))],
    ['a series that is no string', text(head({ data: [{ series: 1 }] }))],
    ['an empty to', text(head({ data: [{ to: {} }] }))],
    ['a to that narrows in a way that is not known', text(head({ data: [{ to: { userName: 'a', zone: 'b' } }] }))],
    ['an except that is no clientId', text(head({ data: [{ except: 1 }] }))],
  ])('%s is malformed', (_, malformed) => {
    expect(decodeEnvelopes(malformed)).toBe('malformed');
  });
});

test('the series is what conflation keys end in', () => {
  for (const series of ['', 'kw', 'a\0b']) expect(seriesOfConflationKey(conflationKey('t', '', series))).toBe(series);
});

const part = (random: Random) => random.pick(['dev', 'a b', '电', '%2A', 'x'.repeat(128)]);

function randomEnvelope(random: Random): RawDataEnvelope {
  return envelope(
    {
      businessType: part(random),
      businessId: random.chance(0.2) ? undefined : part(random),
      to: random.pick([
        undefined,
        undefined,
        { userName: part(random) },
        { clientId: 'c', businessType: part(random) },
      ]),
      except: random.chance(0.8) ? undefined : part(random),
      datumJson: JSON.stringify({ v: random.next(), text: random.pick(['', '\n', '}', '电', '\u2028']) }),
    },
    random.pick(['', 'kw', '\n', '\t\0', '"']),
  );
}

describe('random messages', () => {
  test(
    'come out as they went in',
    seeded((random) => {
      for (let n = 0; n < 1000; n++) {
        let sequence = random.below(1000);
        const data = Array.from({ length: 1 + random.below(5) }, () => ({
          sequence: (sequence += 1 + (random.chance(0.5) ? 0 : random.below(9))),
          envelope: randomEnvelope(random),
        }));
        expect(roundTrip(data)).toEqual(asSent(data));
      }
    }),
  );

  test(
    'with some bytes changed are taken or not, and never throw',
    seeded((random) => {
      const tally = { taken: 0, malformed: 0, unknownVersion: 0 };
      for (let n = 0; n < 10_000; n++) {
        const bytes = Buffer.from(encodeEnvelopes(NODE, numbered(randomEnvelope(random), randomEnvelope(random))));
        for (let changes = random.below(4); changes > 0; changes--)
          bytes[random.below(bytes.length)] = random.below(256);
        const cut = random.chance(0.2) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
        const decoded = decodeEnvelopes(cut.toString());
        tally[typeof decoded === 'string' ? decoded : 'taken'] += 1;
      }
      expect(Math.min(tally.taken, tally.malformed)).toBeGreaterThan(1000);
      expect(tally.unknownVersion).toBeGreaterThan(10);
    }),
  );
});
