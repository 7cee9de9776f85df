import { cpuMicros, nowMicros } from '../clock.js';
import { createDatum, type DatumKind } from '../datum.js';
import type { BenchServer } from './bench.server.js';

/** Which data are pushed: datum number n is of key n % keys and of series n % series. */
export interface Content {
  readonly kind: DatumKind;
  readonly keys: number;
  readonly series: number;
}

/** A demand that comes from outside, whether or not the server keeps up with it. */
export interface Demand {
  /** Every so many milliseconds … */
  readonly intervalMs: number;
  /** … so many data, in one tick. */
  readonly burst: number;
}

/** How far a source has come; two of them tell what happened in between. */
export interface Reading {
  readonly atMicros: number;
  readonly cpuMicros: number;
  /** Data pushed. */
  readonly pushed: number;
  /** Data pushed, times the clients that each was for. */
  readonly offered: number;
}

/** What was due is pushed in portions of this size, with the event loop between them, as data that wait in a socket are. */
const MAX_DATA_A_TURN = 20;

export class Source {
  /** Number of the newest datum of each series. */
  readonly newest: number[];
  /** Data pushed so far. */
  pushed = 0;
  private offered = 0;
  private stopped: (() => void) | undefined;

  constructor(
    private readonly server: BenchServer,
    private readonly content: Content,
  ) {
    this.newest = Array.from({ length: content.series }, () => -1);
  }

  read(): Reading {
    return { atMicros: nowMicros(), cpuMicros: cpuMicros(), pushed: this.pushed, offered: this.offered };
  }

  push(atMicros: number): void {
    const { kind, keys, series } = this.content;
    const n = this.pushed++;
    this.newest[n % series] = n;
    this.offered += this.server.push(createDatum(kind, { key: n % keys, series: n % series, n, atMicros }));
  }

  /**
   * Pushes until {@link stop}. A datum is stamped with the time at which it was due: a server that is late with taking
   * it is late.
   */
  run(demand: Demand): void {
    this.stopped = runDemand(demand, (dueMicros) => this.push(dueMicros));
  }

  stop(): void {
    this.stopped?.();
  }
}

/** Pushes what is due until the returned function is called. */
export function runDemand({ intervalMs, burst }: Demand, push: (dueMicros: number) => void): () => void {
  const intervalMicros = intervalMs * 1000;
  let dueMicros = nowMicros() + intervalMicros;
  let isStopped = false;
  const turn = () => {
    if (isStopped) return;
    for (let data = 0; data < MAX_DATA_A_TURN && dueMicros <= nowMicros(); data += burst) {
      for (let i = 0; i < burst; i++) push(dueMicros);
      dueMicros += intervalMicros;
    }
    const waitMs = (dueMicros - nowMicros()) / 1000;
    if (waitMs > 0) setTimeout(turn, waitMs);
    else setImmediate(turn);
  };
  turn();
  return () => void (isStopped = true);
}
