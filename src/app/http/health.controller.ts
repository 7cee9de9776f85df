import { Controller, Get, Header, HttpStatus, Res } from '@nestjs/common';
import { type HealthReport, NodeHealth } from '../../observe/node.health.js';

export interface LivenessReport {
  readonly status: 'ok';
}

export type ReadinessReport = Omit<HealthReport, 'isReady'> & { readonly status: 'ok' | 'unavailable' };

interface StatusResponse {
  status(code: number): unknown;
}

@Controller('health')
export class HealthController {
  constructor(private readonly health: NodeHealth) {}

  /** 200 as long as the process answers. */
  @Get('live')
  @Header('Cache-Control', 'no-store')
  live(): LivenessReport {
    return { status: 'ok' };
  }

  /** 200 while this node is to be sent new clients; 503 while it starts or shuts down, or what readiness checks is at fault. */
  @Get('ready')
  @Header('Cache-Control', 'no-store')
  ready(@Res({ passthrough: true }) response: StatusResponse): ReadinessReport {
    const { isReady, ...report } = this.health.report();
    if (!isReady) response.status(HttpStatus.SERVICE_UNAVAILABLE);
    return { status: isReady ? 'ok' : 'unavailable', ...report };
  }
}
