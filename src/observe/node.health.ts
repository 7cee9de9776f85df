import type { NodePhase } from '../push.types.js';
import type { LoopDelays } from './loop.delay.js';

/** What can make a node not ready besides its start and its end. */
export type ReadinessCheck = 'alarmLog' | 'redis';

/** What the health of a node is read from. */
export interface HealthSources {
  readonly state: { readonly phase: NodePhase };
  readonly alarmLog: { readonly isDurable: boolean; readonly fault: string | undefined };
  readonly bus: { readonly fault: string | undefined };
  readonly cluster: { readonly fault: string | undefined };
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
    return this.sources.alarmLog.fault !== undefined || this.redisFault !== undefined;
  }

  report(): HealthReport {
    const { state, alarmLog, loop, isOnRedis } = this.sources;
    return {
      isReady: this.isReady,
      phase: state.phase,
      alarmLog: { durable: alarmLog.isDurable, fault: alarmLog.fault },
      redis: isOnRedis ? { fault: this.redisFault } : undefined,
      eventLoop: loop.delays,
    };
  }

  /** Raw data, or what ends sessions elsewhere, does not come through. */
  private get redisFault(): string | undefined {
    return this.sources.bus.fault ?? this.sources.cluster.fault;
  }

  private faultOf(check: ReadinessCheck): string | undefined {
    switch (check) {
      case 'alarmLog':
        return this.sources.alarmLog.fault;
      case 'redis':
        return this.redisFault;
      default:
        return check satisfies never;
    }
  }
}
