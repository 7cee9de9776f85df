import { expect, test } from '@jest/globals';
import { until } from '../support/deadline.js';
import { gatewayOn } from '../support/gateway.fixture.js';
import { seeded } from '../support/random.js';
import { runSocketCases } from './socket.cases.js';

const CASES = 5000;

test('5,000 hostile connections: a well-behaved client misses nothing, and nothing is left of them', async () => {
  await seeded(async (random) => {
    const gateway = await gatewayOn('express')
      .withOptions({ maxUpgradesPerSecond: 1_000_000, compression: {}, drainDeadlineMs: 1000 })
      .start();
    const { port } = gateway;
    const tally = await runSocketCases(random, CASES, {
      port,
      pushRawData: (datum) => gateway.push.pushRawData(datum),
    });
    expect(tally.upgraded + tally.refused + tally.unanswered + tally.resets).toBe(CASES);
    expect(tally.upgraded).toBeGreaterThan(CASES / 4);
    expect(tally.refused).toBeGreaterThan(CASES / 20);
    await until(() => gateway.rawData.count() + gateway.alarms.count() === 0, 'nobody is known');
    await until(() => gateway.placesTaken === 0, 'no place is taken');
  })();
}, 60_000);
