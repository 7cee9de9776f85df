import { describe, expect, test } from '@jest/globals';
import { conflationKey } from '../../src/fan-out/key.js';
import { LastValues } from '../../src/fan-out/last-values.js';
import { Snapshots } from '../../src/registry/snapshots.js';

const JSON_BYTES = 10;
const WHOLE_TYPE = { businessType: 'dev', businessId: '*' };

function snapshotsOf(seriesCount: number): Snapshots {
  const lastValues = new LastValues({ history: 1, maxSnapshotSeries: 10_000, maxSnapshotBytes: 1024 * 1024 });
  for (let n = 0; n < seriesCount; n++) {
    const address = { businessType: 'dev', businessId: `${n}` };
    lastValues.keep(address, { json: 'x'.repeat(JSON_BYTES), conflationKey: conflationKey('dev', `${n}`, '') });
  }
  return new Snapshots({
    lastValues,
    roomBytes: 100 * JSON_BYTES,
    compressionThresholdBytes: undefined,
    mayShow: () => true,
    offerNow: () => {},
  });
}

describe('the measure of a snapshot', () => {
  test('is that of the newest values', () => {
    expect(snapshotsOf(100).measure({ ...WHOLE_TYPE, snapshot: true })).toEqual({ bytes: 1000, seriesCount: 100 });
  });

  test('is taken no further than there is room', () => {
    expect(snapshotsOf(10_000).measure({ ...WHOLE_TYPE, history: 1 })).toEqual({ bytes: 1010, seriesCount: 101 });
    expect(snapshotsOf(10_000).measure({ ...WHOLE_TYPE, snapshot: true }, 0).seriesCount).toBe(1);
  });

  test('is nothing where none is asked for', () => {
    expect(snapshotsOf(100).measure(WHOLE_TYPE)).toEqual({ bytes: 0, seriesCount: 0 });
  });
});
