import TestRunner from 'jest-runner';

/** Beside other tests these would measure how busy those are. */
const MEASURING = ['e2e/blocked-page', 'e2e/dashboard-start', 'e2e/slow-clients', 'observe/loop.delay'];
/** Begun first, so that no core waits for one of them in the end. */
const LONG = [
  'package/package',
  'model/alarm-feed.model',
  'fault/nodes',
  'e2e/dashboard',
  'e2e/workers',
  'e2e/example-page',
  'e2e/life-and-death',
];

const placeIn = (names, { path }) => names.findIndex((name) => path.includes(`/test/${name}.`));
const among = (names) => (test) => placeIn(names, test) >= 0;

/** Runs what measures how long something takes, or how much it holds, one by one when all the rest is done. */
export default class QuietRunner extends TestRunner {
  async runTests(tests, watcher, options) {
    const measuring = tests.filter(among(MEASURING));
    const others = tests.filter((test) => !measuring.includes(test));
    const long = others.filter(among(LONG)).toSorted((one, other) => placeIn(LONG, one) - placeIn(LONG, other));
    await super.runTests([...long, ...others.filter((test) => !long.includes(test))], watcher, options);
    await super.runTests(measuring, watcher, { ...options, serial: true });
  }
}
