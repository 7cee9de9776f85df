import { type ExecutionContext, Injectable, ServiceUnavailableException } from '@nestjs/common';
import { NodeState } from '../../gateway/node-state.js';
import { Environment } from '../environment.js';
import { PublishKeyGuard } from './publish-key.guard.js';

/** As {@link PublishKeyGuard}, and 503 outside service. */
@Injectable()
export class PublishGuard extends PublishKeyGuard {
  constructor(
    environment: Environment,
    private readonly nodeState: NodeState,
  ) {
    super(environment);
  }

  override canActivate(context: ExecutionContext): boolean {
    if (!this.nodeState.isServing) throw new ServiceUnavailableException('this node is starting or shutting down');
    return super.canActivate(context);
  }
}
