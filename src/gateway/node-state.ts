import { Injectable } from '@nestjs/common';

export type NodePhase = 'starting' | 'serving' | 'draining';

/** Whether this node takes connections: not before the application has started, and not once it shuts down. */
@Injectable()
export class NodeState {
  private currentPhase: NodePhase = 'starting';

  get phase(): NodePhase {
    return this.currentPhase;
  }

  get isServing(): boolean {
    return this.currentPhase === 'serving';
  }

  enter(phase: Exclude<NodePhase, 'starting'>): void {
    // Draining is final.
    if (this.currentPhase !== 'draining') this.currentPhase = phase;
  }
}
