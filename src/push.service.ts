import { Inject, Injectable, Logger } from '@nestjs/common';
import { ALARM_LOG, type AlarmLog, type NewAlarm } from './alarm-log/alarm-log.js';
import { formatCursor } from './alarm-log/cursor.js';
import { Frame } from './fan-out/frame.js';
import { conflationKey } from './fan-out/key.js';
import type { RawDataClient } from './fan-out/raw-data.router.js';
import { InvalidPushError } from './push.errors.js';
import { PushOptions } from './push.options.js';
import {
  checkAlarm,
  checkPushOptions,
  checkRawDatum,
  defaultSeriesOf,
  encodePayload,
  MAX_ALARM_BYTES,
  MAX_RAW_DATUM_BYTES,
} from './push.rules.js';
import type { Alarm, AlarmReceipt, PushRawDataOptions, PushResult, RawDatum } from './push.types.js';
import { clientInfo } from './registry/client.registry.js';
import { RawDataRegistry } from './registry/raw-data.registry.js';

/** What application modules inject to push. A slow, broken or hostile client cannot make any of this fail or wait. */
@Injectable()
export class PushService {
  private readonly logger = new Logger(PushService.name);
  /** How often the delivery filter threw; each time the datum was not delivered to that client. */
  filterFailures = 0;

  constructor(
    private readonly options: PushOptions,
    private readonly rawDataRegistry: RawDataRegistry,
    @Inject(ALARM_LOG) private readonly alarmLog: AlarmLog,
  ) {}

  /**
   * Pushes live telemetry to the clients that subscribed to its (businessType, businessId), or that `options.to` names.
   * A slow client gets the newest value of each series. Throws InvalidPushError or PayloadTooLargeError, and then
   * nothing was sent; never throws for a client's sake.
   */
  pushRawData(datum: RawDatum, options: PushRawDataOptions = {}): PushResult {
    checkRawDatum(datum);
    checkPushOptions(options);
    const json = encodePayload(datum, 'raw datum', MAX_RAW_DATUM_BYTES);
    const { businessType } = datum;
    const businessId = datum.businessId === '' ? undefined : datum.businessId;
    const key = conflationKey(businessType, businessId ?? '', this.seriesOf(datum));
    const matched = this.rawDataRegistry.route({
      frame: Frame.rawData(json, key),
      businessType,
      businessId,
      to: options.to,
      except: options.except,
      filter: this.filterFor(datum),
    });
    return { matched };
  }

  /**
   * Appends an alarm to the log and resolves when it is stored; from then on it is delivered to every client that may
   * see it. Rejects with InvalidPushError, PayloadTooLargeError, EventIdConflictError or AlarmNotAcceptedError.
   */
  async pushAlarm(alarm: Alarm): Promise<AlarmReceipt> {
    const [receipt] = await this.append([this.encodeAlarm(alarm)]);
    if (receipt === undefined) throw new Error('the alarm log answered without a receipt');
    return receipt;
  }

  /** As {@link pushAlarm} for several, in this order, all or nothing. An error's field names the index. */
  async pushAlarms(alarms: readonly Alarm[]): Promise<AlarmReceipt[]> {
    if (!Array.isArray(alarms)) throw new InvalidPushError('alarms', 'must be an array');
    const encoded = alarms.map((alarm, index) => {
      try {
        return this.encodeAlarm(alarm);
      } catch (cause) {
        throw cause instanceof InvalidPushError ? cause.at(`[${index}]`) : cause;
      }
    });
    return this.append(encoded);
  }

  private async append(alarms: readonly NewAlarm[]): Promise<AlarmReceipt[]> {
    if (alarms.length === 0) return [];
    const receipts = await this.alarmLog.append(alarms);
    return receipts.map(({ cursor, duplicate }) => ({ cursor: formatCursor(cursor), duplicate }));
  }

  private encodeAlarm(alarm: Alarm): NewAlarm {
    checkAlarm(alarm);
    const json = encodePayload(alarm, 'alarm', MAX_ALARM_BYTES);
    const { businessId, businessType, severity, orgId, conditionId, active, eventId } = alarm;
    return { json, fields: { businessId, businessType, severity, orgId, conditionId, active }, eventId };
  }

  private seriesOf(datum: RawDatum): string {
    if (this.options.seriesOf === undefined) return defaultSeriesOf(datum);
    try {
      return String(this.options.seriesOf(datum));
    } catch (cause) {
      throw new InvalidPushError('series', `could not be told, seriesOf threw: ${String(cause)}`);
    }
  }

  private filterFor(datum: RawDatum): ((client: RawDataClient) => boolean) | undefined {
    const { deliveryFilter } = this.options;
    if (deliveryFilter === undefined) return undefined;
    return (client) => {
      try {
        return deliveryFilter(clientInfo(client), datum) === true;
      } catch (cause) {
        this.countFilterFailure(cause);
        return false;
      }
    };
  }

  private countFilterFailure(cause: unknown): void {
    // The first failure says what is wrong; a line for each client and datum would drown the log.
    if (this.filterFailures === 0) {
      this.logger.error(
        'the delivery filter threw, so a datum was not delivered',
        cause instanceof Error ? cause.stack : String(cause),
      );
    }
    this.filterFailures += 1;
  }
}
