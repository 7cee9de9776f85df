import { expect, test } from '@jest/globals';
import { type Linked, RecencyList } from '../../src/fan-out/recency.list.js';
import { type Random, seeded } from '../support/random.js';

class Entry implements Linked<Entry> {
  older: Entry | undefined;
  newer: Entry | undefined;
}

test(
  'the one that was used longest ago goes first, whatever came before',
  seeded((random: Random) => {
    const list = new RecencyList<Entry>();
    const entries = Array.from({ length: 8 }, () => new Entry());
    const model = new Set<Entry>();
    for (let step = 0; step < 2000; step++) {
      const [oldest] = model;
      const entry = random.pick(entries);
      const used = random.below(4) === 0 ? oldest : entry;
      if (used !== undefined) model.delete(used);
      if (used === entry) model.add(entry);
      const removed = used === entry ? list.makeNewest(entry) : list.removeOldest();
      expect(removed).toBe(used === entry ? undefined : oldest);
    }
    for (const entry of model) expect(list.removeOldest()).toBe(entry);
    expect(list.removeOldest()).toBeUndefined();
  }),
);
