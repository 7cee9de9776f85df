import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Exposition } from '../../src/app/metrics/exposition.js';
import { WorkersExposition } from '../../src/app/metrics/workers.exposition.js';
import type { WorkerOrder, WorkerReport } from '../../src/app/worker.messages.js';
import { LogCapture } from '../support/log.capture.js';

/** The primary process, by hand. */
class Primary extends EventEmitter {
  readonly reports: WorkerReport[] = [];

  send(report: WorkerReport): void {
    this.reports.push(report);
  }

  order(order: WorkerOrder): void {
    this.emit('message', order);
  }
}

class Own extends Exposition {
  fault: Error | undefined;

  async text(): Promise<string> {
    if (this.fault !== undefined) throw this.fault;
    return 'own';
  }
}

let primary: Primary;
let own: Own;
let exposition: WorkersExposition;

beforeEach(() => {
  jest.useFakeTimers();
  primary = new Primary();
  own = new Own();
  exposition = new WorkersExposition(own, primary);
});

afterEach(() => {
  jest.useRealTimers();
});

const settle = () => jest.advanceTimersByTimeAsync(0);
const textOf = (value: number) => `# TYPE a gauge\na ${value}\n`;

describe('asked for the metrics', () => {
  test('asks the primary process, and answers with those of all', async () => {
    const texts = [exposition.text(), exposition.text()];
    expect(primary.reports).toEqual([
      { kind: 'askMetricsOfAll', n: 1 },
      { kind: 'askMetricsOfAll', n: 2 },
    ]);
    primary.order({ kind: 'metricsOfAll', n: 2, texts: [null, textOf(2)] });
    primary.order({ kind: 'metricsOfAll', n: 1, texts: [textOf(1), null] });
    expect(await texts[0]).toContain('\na{worker="1"} 1\n');
    expect(await texts[1]).toContain('\na{worker="2"} 2\n');
    expect(jest.getTimerCount()).toBe(0);
  });

  test('says so where that does not answer; an answer that is late harms nobody', async () => {
    const answer = exposition.text().catch(String);
    await jest.advanceTimersByTimeAsync(3000);
    expect(await answer).toContain('the primary process does not answer');
    primary.order({ kind: 'metricsOfAll', n: 1, texts: [] });
  });
});

describe('asked by the primary process', () => {
  test('tells its own', async () => {
    primary.order({ kind: 'tellMetrics', n: 5 });
    await settle();
    expect(primary.reports).toEqual([{ kind: 'ownMetrics', n: 5, text: 'own' }]);
  });

  test('tells that there are none where they cannot be read, and logs why', async () => {
    const log = LogCapture.start();
    own.fault = new Error('a gauge');
    primary.order({ kind: 'tellMetrics', n: 6 });
    await settle();
    expect(primary.reports).toEqual([{ kind: 'ownMetrics', n: 6, text: null }]);
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
    log.stop();
  });

  test('what concerns others is not its', async () => {
    primary.order({ kind: 'retire' });
    primary.order({ kind: 'runTelemetry' });
    await settle();
    expect(primary.reports).toEqual([]);
  });
});
