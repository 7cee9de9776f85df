/** Base of every error that this module throws on purpose; `code` is stable, the message says what to do. */
export abstract class PushError extends Error {
  abstract readonly code: string;

  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** The datum, the alarm or an option of the push breaks a rule. Nothing was sent. */
export class InvalidPushError extends PushError {
  readonly code = 'invalidPush';

  /** `field` is the path of what is wrong, as `businessId`, `to.userName` or `values[3]`. */
  constructor(
    readonly field: string,
    private readonly fault: string,
  ) {
    super(`${field} ${fault}`);
  }

  /** The same fault in one of several: `[3].businessId`. */
  at(place: string): InvalidPushError {
    const isWhole = this.field.startsWith('the ');
    return new InvalidPushError(isWhole ? place : `${place}.${this.field}`, this.fault);
  }
}

/** The encoded JSON is larger than allowed: 1 MiB for a raw datum, 64 KiB for an alarm. Nothing was sent. */
export class PayloadTooLargeError extends PushError {
  readonly code = 'payloadTooLarge';

  constructor(
    private readonly what: string,
    readonly bytes: number,
    readonly maxBytes: number,
  ) {
    super(`${what} is ${bytes} bytes of JSON; at most ${maxBytes} are allowed: split it, or send a reference`);
  }

  /** The same fault in one of several. */
  at(place: string): PayloadTooLargeError {
    return new PayloadTooLargeError(`${place}: ${this.what}`, this.bytes, this.maxBytes);
  }
}

/** The `eventId` was used before for an alarm with other content. Nothing was stored. */
export class EventIdConflictError extends PushError {
  readonly code = 'eventIdConflict';

  constructor(
    readonly eventId: string,
    /** Cursor of the alarm that has this eventId. */
    readonly cursor: string,
  ) {
    super('this eventId was used for an alarm with other content: use an eventId of its own for each event');
  }
}

/**
 * The alarm log did not confirm the alarm. `rejected`: it is not stored, push it again. `unknown`: it may be stored,
 * push it again with the same `eventId`.
 */
export class AlarmNotAcceptedError extends PushError {
  readonly code = 'alarmNotAccepted';

  constructor(
    readonly outcome: 'rejected' | 'unknown',
    why: string,
  ) {
    super(`the alarm was not accepted (${outcome}): ${why}`);
  }
}

/** There are as many durable subscriptions as there may be. */
export class SubscriptionLimitError extends PushError {
  readonly code = 'subscriptionLimit';

  constructor(readonly limit: 'user' | 'total') {
    super(
      limit === 'user' ? 'this user has too many durable subscriptions' : 'there are too many durable subscriptions',
    );
  }
}

/**
 * Redis did not confirm a revocation. It counts on this node, and is stored as soon as Redis is back; until then other nodes
 * may not know of it, and a restart of this one forgets it.
 */
export class RevocationNotStoredError extends PushError {
  readonly code = 'revocationNotStored';

  constructor(override readonly cause: unknown) {
    super(
      'the revocation counts on this node only until Redis has stored it: do not restart this node, and look at Redis',
    );
  }
}

/** Redis did not answer: nobody can say what the other nodes have. */
export class ClusterUnavailableError extends PushError {
  readonly code = 'clusterUnavailable';

  constructor(override readonly cause: unknown) {
    super('the other nodes cannot be asked now, since Redis does not answer: try again later');
  }
}

/** The module's options, or the way it is set up in the application, cannot work. Thrown at boot. */
export class PushConfigurationError extends PushError {
  readonly code = 'configuration';

  constructor(readonly problems: readonly string[]) {
    super(`PushModule cannot start:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
  }
}
