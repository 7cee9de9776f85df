import { Injectable } from '@nestjs/common';
import type { NodePhase } from '../push.types.js';

const PHASES: readonly NodePhase[] = ['starting', 'serving', 'leaving', 'draining'];

/** Where this node is between its start and its end. */
@Injectable()
export class NodeState {
  private currentPhase: NodePhase = 'starting';

  get phase(): NodePhase {
    return this.currentPhase;
  }

  /** Whether connections and pushes are taken: not before the application has started, and not once it drains. */
  get isServing(): boolean {
    return this.currentPhase === 'serving' || this.currentPhase === 'leaving';
  }

  /** There is no way back. */
  enter(phase: Exclude<NodePhase, 'starting'>): void {
    if (PHASES.indexOf(phase) > PHASES.indexOf(this.currentPhase)) this.currentPhase = phase;
  }
}
