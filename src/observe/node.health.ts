import type { NodePhase } from '../push.types.js';
import type { LoopDelays } from './loop.delay.js';

/** What can make a node not ready besides its start and its end. */
export type ReadinessCheck = 'alarmLog' | 'redis';

/** What the health of a node is read from. */
export interface HealthSources {
  readonly state: { readonly phase: NodePhase };
  readonly alarmLog: { readonly isDurable: boolean; readonly fault: string | undefined };
  readonly bus: { readonly fault: string | undefined };
  readonly loop: { readonly delays: LoopDelays };
  /** Faults that make the node not ready. */
  readonly readinessChecks: readonly ReadinessCheck[];
  /** Whether there are other nodes, on one Redis. */
  readonly isOnRedis: boolean;
}

export interface HealthReport {
  /** Whether new clients are to be sent here. */
  readonly isReady: boolean;
  readonly phase: NodePhase;
  /** `durable`: alarms outlive this process. `fault`: why the log cannot take alarms now. */
  readonly alarmLog: { readonly durable: boolean; readonly fault: string | undefined };
  /** `fault`: why other nodes cannot be heard now. Undefined without Redis. */
  readonly redis: { readonly fault: string | undefined } | undefined;
  /** How long the event loop was held up, of the last 10 s. Reported, and never a reason not to be ready. */
  readonly eventLoop: LoopDelays;
}

/**
 * How this node is. It is ready while it serves and nothing that `readinessChecks` names is at fault. Faults come and go by
 * themselves: whoever asks again is told anew.
 */
export class NodeHealth {
  constructor(private readonly sources: HealthSources) {}

  get isReady(): boolean {
    const { state, readinessChecks } = this.sources;
    return state.phase === 'serving' && readinessChecks.every((check) => this.faultOf(check) === undefined);
  }

  /** Whether anything is at fault, also what does not make the node not ready. */
  get hasFault(): boolean {
    return this.sources.alarmLog.fault !== undefined || this.sources.bus.fault !== undefined;
  }

  report(): HealthReport {
    const { state, alarmLog, bus, loop, isOnRedis } = this.sources;
    return {
      isReady: this.isReady,
      phase: state.phase,
      alarmLog: { durable: alarmLog.isDurable, fault: alarmLog.fault },
      redis: isOnRedis ? { fault: bus.fault } : undefined,
      eventLoop: loop.delays,
    };
  }

  private faultOf(check: ReadinessCheck): string | undefined {
    const { alarmLog, bus } = this.sources;
    switch (check) {
      case 'alarmLog':
        return alarmLog.fault;
      case 'redis':
        return bus.fault;
      default:
        return check satisfies never;
    }
  }
}
