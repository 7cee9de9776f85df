import { setTimeout as wait } from 'node:timers/promises';
import { nowMicros } from '../clock.js';
import { serveCalls } from '../rpc.js';
import { percentile } from '../statistics.js';
import type { HostileApi, Latencies } from './hostile.api.js';
import { Flood } from './ping-flood.js';
import { SlowUpgrades } from './slow-upgrades.js';
import { type UpgradeAnswer, UpgradeAttempt, type UpgradePlace } from './upgrade.attempt.js';

const OPEN_INTERVAL_MS = 10;

const held: UpgradeAttempt[] = [];
let flood: Flood | undefined;
let slow: SlowUpgrades | undefined;

async function ask(place: UpgradePlace): Promise<UpgradeAnswer> {
  const attempt = new UpgradeAttempt(place);
  try {
    return await attempt.answer;
  } finally {
    attempt.socket.destroy();
  }
}

function latenciesOf(outcomes: readonly PromiseSettledResult<UpgradeAnswer>[]): Latencies {
  const open = outcomes.flatMap((outcome) => (isOpen(outcome) ? [outcome.value] : []));
  const micros = Float64Array.from(open, ({ begunMicros, atMicros }) => atMicros - begunMicros).toSorted();
  return {
    count: open.length,
    refused: outcomes.length - open.length,
    p50Ms: percentile(micros, 0.5) / 1000,
    p99Ms: percentile(micros, 0.99) / 1000,
    highestMs: percentile(micros, 1) / 1000,
  };
}

function isOpen(outcome: PromiseSettledResult<UpgradeAnswer>): outcome is PromiseFulfilledResult<UpgradeAnswer> {
  return outcome.status === 'fulfilled' && outcome.value.status === 101;
}

function describeFailure(outcome: PromiseSettledResult<UpgradeAnswer> | undefined): string | undefined {
  if (outcome === undefined) return undefined;
  return outcome.status === 'rejected' ? String(outcome.reason) : `answered ${outcome.value.status}`;
}

function presentSlow(): SlowUpgrades {
  if (slow === undefined) throw new Error('there are no slow upgrades');
  return slow;
}

const api: HostileApi = {
  async connectInRhythm({ count, intervalMs, ...place }) {
    const outcomes: Promise<PromiseSettledResult<UpgradeAnswer>[]>[] = [];
    const begunMicros = nowMicros();
    for (let i = 0; i < count; i++) {
      const waitMs = i * intervalMs - (nowMicros() - begunMicros) / 1000;
      if (waitMs > 0) await wait(waitMs);
      outcomes.push(Promise.allSettled([ask(place)]));
    }
    return latenciesOf((await Promise.all(outcomes)).flat());
  },

  async holdSlowUpgrades(plan) {
    slow = new SlowUpgrades(plan);
    while (slow.count < plan.count) await wait(OPEN_INTERVAL_MS);
  },

  forgetSlowCounts: () => presentSlow().forgetCounts(),

  slowReport: () => presentSlow().report(),

  startFlood: (plan) => void (flood = new Flood(plan)),

  async stopFlood() {
    if (flood === undefined) throw new Error('there is no flood');
    return flood.stop();
  },

  async connectAll({ port, places, withinMs }) {
    const fromMicros = nowMicros();
    const attempts = places.map((place) => new UpgradeAttempt({ ...place, port }));
    held.push(...attempts);
    const deadline = setTimeout(() => {
      for (const { socket } of attempts) socket.destroy(new Error(`no answer within ${withinMs} ms`));
    }, withinMs);
    const outcomes = await Promise.allSettled(attempts.map(({ answer }) => answer));
    clearTimeout(deadline);
    const toMicros = Math.max(...outcomes.filter(isOpen).map(({ value }) => value.atMicros));
    const failure = describeFailure(outcomes.find((outcome) => !isOpen(outcome)));
    return { ...latenciesOf(outcomes), fromMicros, toMicros, failure };
  },

  ask,
};

serveCalls(api);
