import { loadavg } from 'node:os';
import { Injectable, Logger } from '@nestjs/common';
import si from 'systeminformation';

/** One value of this machine. */
export interface Reading {
  /** `cpu.0`, `cpu.total`, `memory.used`, `load.1m`, `network.eth0.rx`, `disk.read` */
  readonly series: string;
  readonly value: number;
  readonly unit: '%' | 'B' | 'B/s' | '';
}

type Source = () => Promise<Reading[]>;

/** Reads this machine. A source that fails gives nothing, is logged once, and does not keep the others. */
@Injectable()
export class HostSampler {
  private readonly logger = new Logger(HostSampler.name);
  private readonly failed = new Set<string>();
  private readonly sources: Readonly<Record<string, Source>> = { cpu, load, memory, network, disk };

  async sample(): Promise<Reading[]> {
    const readings = await Promise.all(Object.entries(this.sources).map(([name, source]) => this.read(name, source)));
    return readings.flat();
  }

  private async read(name: string, source: Source): Promise<Reading[]> {
    try {
      return await source();
    } catch (cause) {
      if (!this.failed.has(name)) this.logger.warn(`cannot read the ${name} of this machine: ${String(cause)}`);
      this.failed.add(name);
      return [];
    }
  }
}

async function cpu(): Promise<Reading[]> {
  const { currentLoad, cpus } = await si.currentLoad();
  return [...cpus.map((each, core) => reading(`cpu.${core}`, each.load, '%')), reading('cpu.total', currentLoad, '%')];
}

async function load(): Promise<Reading[]> {
  const [of1m = 0, of5m = 0, of15m = 0] = loadavg();
  return [reading('load.1m', of1m, ''), reading('load.5m', of5m, ''), reading('load.15m', of15m, '')];
}

async function memory(): Promise<Reading[]> {
  const { total, available } = await si.mem();
  const used = total - available;
  return [
    reading('memory.total', total, 'B'),
    reading('memory.used', used, 'B'),
    reading('memory.usedPercent', (used / total) * 100, '%'),
  ];
}

/** Rates are known from the second sample on. */
async function network(): Promise<Reading[]> {
  const interfaces = await si.networkStats('*');
  return interfaces
    .filter(({ iface }) => iface !== 'lo')
    .flatMap(({ iface, rx_sec: rx, tx_sec: tx }) => [
      ...rate(`network.${iface}.rx`, rx),
      ...rate(`network.${iface}.tx`, tx),
    ]);
}

async function disk(): Promise<Reading[]> {
  // null where the platform or a container does not show its file systems.
  const stats: { rx_sec: number | null; wx_sec: number | null } | null = await si.fsStats();
  return stats === null ? [] : [...rate('disk.read', stats.rx_sec), ...rate('disk.write', stats.wx_sec)];
}

function rate(series: string, bytesPerSecond: number | null): Reading[] {
  return bytesPerSecond === null || bytesPerSecond < 0 ? [] : [reading(series, Math.round(bytesPerSecond), 'B/s')];
}

function reading(series: string, value: number, unit: Reading['unit']): Reading {
  return { series, value: Math.round(value * 100) / 100, unit };
}
