import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { MEGABYTE, sleep } from './clock.js';

/** What the numbers were measured on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMegabytes: number;
  readonly kernel: string;
  readonly node: string;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cores: availableParallelism(),
    memoryMegabytes: Math.round(totalmem() / MEGABYTE),
    kernel: `${type()} ${release()}`,
    node: process.versions.node,
  };
}

/** How much of the machine others took while something was measured: what they take makes the numbers worse. */
export class MachineShare {
  private readonly begun = readTimes();

  /** Once all child processes of this one have ended. Undefined where the system does not tell. */
  async ofOthers(): Promise<number | undefined> {
    await sleep(CHILD_END_MS);
    const now = readTimes();
    if (this.begun === undefined || now === undefined) return undefined;
    const busyMs = now.busyMs - this.begun.busyMs - (now.ownMs - this.begun.ownMs);
    return Math.max(0, busyMs / (now.totalMs - this.begun.totalMs));
  }
}

interface Times {
  readonly totalMs: number;
  readonly busyMs: number;
  /** Of this process and its children that have ended. */
  readonly ownMs: number;
}

const CHILD_END_MS = 200;
/** Of the times in /proc/self/stat, see proc(5). */
const MS_A_CLOCK_TICK = 10;

function readTimes(): Times | undefined {
  let totalMs = 0;
  let busyMs = 0;
  for (const { times } of cpus()) {
    const ofCpu = times.user + times.nice + times.sys + times.irq;
    busyMs += ofCpu;
    totalMs += ofCpu + times.idle;
  }
  try {
    // utime, stime, cutime, cstime are the fields 14 to 17; the name in field 2 may hold spaces.
    const fields = readFileSync('/proc/self/stat', 'latin1').split(') ').at(-1)?.split(' ').slice(11, 15) ?? [];
    return { totalMs, busyMs, ownMs: fields.reduce((sum, ticks) => sum + Number(ticks) * MS_A_CLOCK_TICK, 0) };
  } catch {
    return undefined;
  }
}
