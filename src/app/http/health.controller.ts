import { Controller, Get, Header, HttpStatus, Inject, Res } from '@nestjs/common';
import { ALARM_LOG, type AlarmLog } from '../../alarm-log/alarm-log.js';
import { NodeState } from '../../gateway/node-state.js';

export interface LivenessReport {
  readonly status: 'ok';
}

export interface ReadinessReport {
  readonly status: 'ok' | 'unavailable';
  /** `durable`: alarms outlive this process. `fault`: why the log cannot take alarms now. */
  readonly alarmLog: { readonly durable: boolean; readonly fault: string | undefined };
}

interface StatusResponse {
  status(code: number): unknown;
}

@Controller('health')
export class HealthController {
  constructor(
    private readonly nodeState: NodeState,
    @Inject(ALARM_LOG) private readonly alarmLog: AlarmLog,
  ) {}

  /** 200 as long as the process answers. */
  @Get('live')
  @Header('Cache-Control', 'no-store')
  live(): LivenessReport {
    return { status: 'ok' };
  }

  /** 200 while this node takes clients and alarms; 503 while it starts or shuts down, or the log cannot write. */
  @Get('ready')
  @Header('Cache-Control', 'no-store')
  ready(@Res({ passthrough: true }) response: StatusResponse): ReadinessReport {
    const { isDurable: durable, fault } = this.alarmLog;
    const isReady = this.nodeState.phase === 'serving' && fault === undefined;
    if (!isReady) response.status(HttpStatus.SERVICE_UNAVAILABLE);
    return { status: isReady ? 'ok' : 'unavailable', alarmLog: { durable, fault } };
  }
}
