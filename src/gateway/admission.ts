import type { Handshake } from '../access/handshake.js';
import type { AlarmAddress } from '../fan-out/alarm.client.js';
import type { WireFormat } from '../fan-out/frame.js';
import type { AlarmPlace } from '../registry/alarm.places.js';
import type { Cover } from '../registry/raw-data.coverage.js';
import type { Session } from '../registry/sessions.js';
import type { SubscriptionQuery } from './subscription.query.js';

/** An upgrade, or the plain GET that asks what an upgrade would be answered. */
export type RequestKind = 'upgrade' | 'get';

/** A connection that may be made. */
export interface Admission {
  /** Of the client to be. */
  readonly clientId: string;
  readonly handshake: Handshake;
  readonly session: Session;
  readonly format: WireFormat;
  /** Whether the client may have an alarm and asked for it. */
  readonly acceptsAlarm: (address: AlarmAddress) => boolean;
  /** Where the alarms begin; undefined on raw data. */
  readonly alarmPlace: AlarmPlace | undefined;
  /** What the query of the raw-data path asks for. */
  readonly subscription: SubscriptionQuery;
  /** Keeps in force what the raw-data client can be reached by, to be released once it is registered. */
  readonly cover: Cover | undefined;
}

/** What is made ready for a client of one of the gateways. */
export type Placed = Pick<Admission, 'alarmPlace' | 'cover'>;

/** A place among the connections, given back once. */
export class ConnectionPlace {
  private returns: (() => void)[];
  isReleased = false;

  constructor(giveBack: () => void) {
    this.returns = [giveBack];
  }

  /** Runs at once where the place was given back already. */
  onRelease(giveBack: () => void): void {
    if (this.isReleased) giveBack();
    else this.returns.push(giveBack);
  }

  release(): void {
    this.isReleased = true;
    for (const giveBack of this.returns.splice(0)) giveBack();
  }
}
