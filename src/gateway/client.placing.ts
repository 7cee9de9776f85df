import { Injectable, Logger } from '@nestjs/common';
import { withoutTokens } from '../access/bearer.token.js';
import type { Principal } from '../access/principal.js';
import type { AlarmAddress } from '../fan-out/alarm.client.js';
import { stackOf } from '../push.causes.js';
import { SubscriptionLimitError } from '../push.errors.js';
import { AlarmPlaces, type AlarmRequest } from '../registry/alarm.places.js';
import { type ConnectionToCover, RawDataCoverage } from '../registry/raw-data.coverage.js';
import { RawDataSubscriptions } from '../registry/raw-data.subscriptions.js';
import type { ConnectionPlace, Placed, RequestKind } from './admission.js';
import type { Refusal } from './refusal.js';

/** Makes ready what a client needs before it may be told that it is connected. */
@Injectable()
export class ClientPlacing {
  private readonly logger = new Logger(ClientPlacing.name);

  constructor(
    private readonly subscriptions: RawDataSubscriptions,
    private readonly coverage: RawDataCoverage,
    private readonly alarmPlaces: AlarmPlaces,
  ) {}

  /** Before the 101: whatever is pushed on another node once this client is told `ready` reaches it. */
  async cover(connection: ConnectionToCover, place: ConnectionPlace): Promise<Placed | Refusal> {
    const cover = this.coverage.coverConnection(connection);
    place.onRelease(() => cover.release());
    if (cover.ready !== undefined) await cover.ready;
    return this.subscriptions.isSnapshotTooLarge(connection) ? SNAPSHOT_TOO_LARGE : { cover, alarmPlace: undefined };
  }

  /** A plain GET takes no durable subscription over. */
  async findPlace(
    request: AlarmRequest,
    { userName = '' }: Principal,
    accepts: (address: AlarmAddress) => boolean,
    kind: RequestKind,
  ): Promise<Placed | Refusal> {
    try {
      if (kind === 'get') await this.alarmPlaces.check(request, userName);
      const alarmPlace = kind === 'upgrade' ? await this.alarmPlaces.find(request, userName, accepts) : undefined;
      return { cover: undefined, alarmPlace };
    } catch (cause) {
      if (cause instanceof SubscriptionLimitError) {
        return { status: 429, error: 'subscriptionLimit', message: `${cause.message}: use fewer names` };
      }
      this.logger.error(`the alarm log failed: ${withoutTokens(stackOf(cause))}`);
      return { status: 503, error: 'alarmLog', message: 'the alarm log is not available now: try again later' };
    }
  }
}

/** Closing such a client for its full outbox would only make it come back for the same. */
const SNAPSHOT_TOO_LARGE: Refusal = {
  status: 400,
  error: 'snapshotTooLarge',
  message: 'the last values of this key are larger than half of an outbox: connect without snapshot and history',
};
