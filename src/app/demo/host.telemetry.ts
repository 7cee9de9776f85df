import { availableParallelism, hostname } from 'node:os';
import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  Optional,
} from '@nestjs/common';
import { ALARM_LOG, type AlarmLog } from '../../alarm-log/alarm-log.js';
import { partFault } from '../../fan-out/key.js';
import { stackOf } from '../../push.causes.js';
import { PushService } from '../../push.service.js';
import { type ConditionChange, HostConditions, hostConditionRules } from './host.conditions.js';
import { HostSampler } from './host.sampler.js';

/** Injection token of the {@link TelemetryTurn}; absent: at once. */
export const TELEMETRY_TURN = Symbol('TELEMETRY_TURN');

/** Resolves when it is this process that pushes the telemetry: of several one does. */
export type TelemetryTurn = () => Promise<void>;

const SAMPLE_INTERVAL_MS = 1000;
export const HOST_BUSINESS_TYPE = 'host';

/** The name of this machine as the businessId of its telemetry. */
export function hostBusinessId(): string {
  const name = hostname();
  return partFault(name) === undefined ? name : 'localhost';
}

/**
 * Pushes the telemetry of this machine once a second, a series for each quantity, and an alarm whenever a threshold is
 * crossed or the value is back.
 */
@Injectable()
export class HostTelemetry implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(HostTelemetry.name);
  private readonly businessId = hostBusinessId();
  private readonly conditionPrefix = `${HOST_BUSINESS_TYPE}/${this.businessId}/`;
  private conditions: HostConditions | undefined;
  private timer: NodeJS.Timeout | undefined;
  private sampling: Promise<void> | undefined;
  private isStopped = false;
  private hasFailed = false;

  constructor(
    private readonly pushService: PushService,
    private readonly sampler: HostSampler,
    @Optional() @Inject(ALARM_LOG) private readonly alarmLog?: AlarmLog,
    @Optional() @Inject(TELEMETRY_TURN) private readonly turn?: TelemetryTurn,
  ) {}

  onApplicationBootstrap(): void {
    if (this.turn === undefined) this.begin();
    else void this.turn().then(() => this.begin());
  }

  async onModuleDestroy(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.sampling;
  }

  private begin(): void {
    if (!this.isStopped) this.sampling = this.sampleAndPush();
  }

  /** The next sample is planned when this one has ended, so a slow machine is never asked twice at once. */
  private async sampleAndPush(): Promise<void> {
    const startedAtMs = performance.now();
    try {
      const readings = await this.sampler.sample();
      if (!this.isStopped) {
        const at = Date.now();
        for (const reading of readings) {
          this.pushService.pushRawData({
            businessType: HOST_BUSINESS_TYPE,
            businessId: this.businessId,
            ...reading,
            at,
          });
        }
        this.conditions ??= await this.openConditions();
        for (const change of this.conditions.next(readings)) await this.pushAlarm(change, at);
      }
    } catch (cause) {
      this.reportFailure(cause);
    }
    if (this.isStopped) return;
    const delayMs = Math.max(0, SAMPLE_INTERVAL_MS - (performance.now() - startedAtMs));
    this.timer = setTimeout(() => (this.sampling = this.sampleAndPush()), delayMs);
  }

  /** What an earlier process raised is still active, and has to be cleared by this one. */
  private async openConditions(): Promise<HostConditions> {
    const active = (await this.alarmLog?.active()) ?? [];
    const raised = active.map(({ fields }) => fields.conditionId ?? '');
    const own = raised.filter((conditionId) => conditionId.startsWith(this.conditionPrefix));
    const series = own.map((conditionId) => conditionId.slice(this.conditionPrefix.length));
    return new HostConditions(hostConditionRules(availableParallelism()), new Set(series));
  }

  private async pushAlarm({ rule, reading, active }: ConditionChange, at: number): Promise<void> {
    const { series, title, severity, raiseAbove, clearBelow } = rule;
    const value = `${reading.value}${reading.unit === '%' ? ' %' : ''}`;
    await this.pushService.pushAlarm({
      businessType: HOST_BUSINESS_TYPE,
      businessId: this.businessId,
      conditionId: `${this.conditionPrefix}${series}`,
      active,
      severity,
      message: active
        ? `${title} is ${value}, above ${raiseAbove}`
        : `${title} is back to ${value}, below ${clearBelow}`,
      value: reading.value,
      unit: reading.unit,
      at,
    });
  }

  /** Once: a failure that comes every second would drown the log. */
  private reportFailure(cause: unknown): void {
    if (this.hasFailed) return;
    this.hasFailed = true;
    this.logger.error('the telemetry of this machine failed', stackOf(cause));
  }
}
