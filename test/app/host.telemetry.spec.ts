import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { HostSampler, Reading } from '../../src/app/demo/host.sampler.js';
import { HostTelemetry, type TelemetryTurn } from '../../src/app/demo/host.telemetry.js';
import type { PushService } from '../../src/push.service.js';
import type { Alarm, RawDatum } from '../../src/push.types.js';

class RecordingPushService {
  readonly data: RawDatum[] = [];
  readonly alarms: Alarm[] = [];

  pushRawData(datum: RawDatum): { matched: number } {
    this.data.push(datum);
    return { matched: 0 };
  }

  async pushAlarm(alarm: Alarm): Promise<{ cursor: string; duplicate: boolean }> {
    this.alarms.push(alarm);
    return { cursor: 'e.1', duplicate: false };
  }
}

const cpu = (value: number): Reading => ({ series: 'cpu.total', value, unit: '%' });

describe('HostTelemetry', () => {
  const pushed = new RecordingPushService();
  let telemetry: HostTelemetry;
  let finish: (readings: Reading[]) => void;
  /** A sample that ends when the test says so. */
  const unfinished = () => new Promise<Reading[]>((resolve) => (finish = resolve));

  const start = (sample: () => Promise<Reading[]>, turn?: TelemetryTurn) => {
    const sampler = { sample } as unknown as HostSampler;
    telemetry = new HostTelemetry(pushed as unknown as PushService, sampler, undefined, turn);
    telemetry.onApplicationBootstrap();
  };

  beforeEach(() => {
    jest.useFakeTimers({ advanceTimers: false });
    pushed.data.length = pushed.alarms.length = 0;
  });

  afterEach(async () => {
    await telemetry.onModuleDestroy();
    if (jest.getTimerCount() > 0) throw new Error('a timer is left');
    jest.useRealTimers();
    jest.restoreAllMocks();
  });

  test('pushes a series for each reading, at once and then every second', async () => {
    start(async () => [cpu(7), { series: 'memory.used', value: 1024, unit: 'B' }]);
    await jest.advanceTimersByTimeAsync(0);
    expect(pushed.data).toEqual([
      expect.objectContaining({
        businessType: 'host',
        series: 'cpu.total',
        value: 7,
        unit: '%',
        at: expect.any(Number),
      }),
      expect.objectContaining({ businessType: 'host', series: 'memory.used', value: 1024, unit: 'B' }),
    ]);
    await jest.advanceTimersByTimeAsync(2000);
    expect(pushed.data).toHaveLength(6);
  });

  test('raises one alarm and clears it under the same condition', async () => {
    const values = [90, 90, 90, 90, 60, 60, 60];
    start(async () => [cpu(values.shift() ?? 60)]);
    await jest.advanceTimersByTimeAsync(8000);
    expect(pushed.alarms).toEqual([
      expect.objectContaining({ active: true, severity: 700, message: 'CPU load is 90 %, above 85' }),
      expect.objectContaining({ active: false, severity: 700, message: 'CPU load is back to 60 %, below 70' }),
    ]);
    expect(pushed.alarms[0]?.conditionId).toBe(pushed.alarms[1]?.conditionId);
  });

  test('never asks for a sample while one is under way', async () => {
    const sample = jest.fn(unfinished);
    start(sample);
    await jest.advanceTimersByTimeAsync(5000);
    expect(sample).toHaveBeenCalledTimes(1);
    finish([]);
    await jest.advanceTimersByTimeAsync(0);
    expect(sample).toHaveBeenCalledTimes(2);
    finish([]);
  });

  test('goes on after a failure and reports it once', async () => {
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => {});
    const sample = jest.fn(() => Promise.reject(new Error('no /proc')));
    start(sample);
    await jest.advanceTimersByTimeAsync(3000);
    expect(sample).toHaveBeenCalledTimes(4);
    expect(error).toHaveBeenCalledTimes(1);
  });

  test('of several processes waits for its turn, and never begins once it is stopped', async () => {
    let begin: (() => void) | undefined;
    const turn = () => new Promise<void>((resolve) => (begin = resolve));
    const sample = jest.fn(async () => [cpu(7)]);
    start(sample, turn);
    await jest.advanceTimersByTimeAsync(5000);
    expect(sample).not.toHaveBeenCalled();
    begin?.();
    await jest.advanceTimersByTimeAsync(1000);
    expect(pushed.data).toHaveLength(2);
    await telemetry.onModuleDestroy();
    start(sample, turn);
    await telemetry.onModuleDestroy();
    begin?.();
    await jest.advanceTimersByTimeAsync(5000);
    expect(pushed.data).toHaveLength(2);
  });

  test('pushes nothing once it is stopped', async () => {
    start(unfinished);
    const stopped = telemetry.onModuleDestroy();
    finish([cpu(7)]);
    await stopped;
    expect(pushed.data).toEqual([]);
  });
});
