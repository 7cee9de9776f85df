import { performance } from 'node:perf_hooks';
import type { Meter } from '../../observe/meter.js';

/** In the names of OpenTelemetry's semantic conventions for processes and Node.js. */
export function watchProcess(meter: Meter): void {
  const cpuTime = meter.createObservableCounter('process.cpu.time', {
    unit: 's',
    description: 'CPU time that this process has used',
  });
  const memory = meter.createObservableUpDownCounter('process.memory.usage', {
    unit: 'By',
    description: 'Resident memory',
  });
  const heap = meter.createObservableUpDownCounter('v8js.memory.heap.used', {
    unit: 'By',
    description: "What lives on V8's heap, and what is garbage there and not collected yet",
  });
  const loopTime = meter.createObservableCounter('nodejs.eventloop.time', {
    unit: 's',
    description: 'Time that the event loop was busy, and time that it waited',
  });
  const uptime = meter.createObservableGauge('process.uptime', {
    unit: 's',
    description: 'Time since the start of this process',
  });
  meter.addBatchObservableCallback(
    (result) => {
      const { user, system } = process.cpuUsage();
      result.observe(cpuTime, user / 1e6, { 'cpu.mode': 'user' });
      result.observe(cpuTime, system / 1e6, { 'cpu.mode': 'system' });
      const { rss, heapUsed } = process.memoryUsage();
      result.observe(memory, rss);
      result.observe(heap, heapUsed);
      const { active, idle } = performance.eventLoopUtilization();
      result.observe(loopTime, active / 1000, { 'nodejs.eventloop.state': 'active' });
      result.observe(loopTime, idle / 1000, { 'nodejs.eventloop.state': 'idle' });
      result.observe(uptime, process.uptime());
    },
    [cpuTime, memory, heap, loopTime, uptime],
  );
}
