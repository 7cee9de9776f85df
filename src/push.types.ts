import type { PushTarget } from './fan-out/raw-data.router.js';

/** Live telemetry: any JSON object. Its address and its series stand in it. At most 1 MiB of JSON. */
export interface RawDatum {
  /** 1 to 128 bytes, no control characters, not `*`, `.` or `..`; compared whole. */
  businessType: string;
  /** As businessType. Absent or empty: every client that may see the businessType. */
  businessId?: string;
  /** What it is a value of; a newer value of a series replaces an older one that a slow client was not sent yet. At most 128 bytes. */
  series?: string;
  [field: string]: unknown;
}

export interface PushRawDataOptions {
  /** Replaces the datum's address; the parts are ANDed. `businessId` only together with `businessType`. */
  to?: PushTarget;
  /** A clientId that is left out. */
  except?: string;
}

export interface PushResult {
  /** Clients of this node that the push matched, after filter and `except`, before conflation. */
  matched: number;
}

/** Something that happened and that operators must learn of. At most 64 KiB of JSON. */
export interface Alarm {
  /** 1 to 128 bytes, as a part of a key. */
  businessId: string;
  businessType?: string;
  /** 1 to 1000 (OPC UA Part 9, 5.5.2). Absent counts as 1000. */
  severity?: number;
  /** Organisation that it concerns, segments separated by `/`. Absent: everybody. */
  orgId?: string;
  /** One condition is raised, changes and clears under one id. At most 128 bytes. */
  conditionId?: string;
  /** Whether the condition holds. */
  active?: boolean;
  /** Idempotency key: the same one with the same content is stored once. At most 128 bytes. */
  eventId?: string;
  [field: string]: unknown;
}

/** `leaving`: the node still serves, and is to be taken out by the load balancer. */
export type NodePhase = 'starting' | 'serving' | 'leaving' | 'draining';

export interface AlarmReceipt {
  /** The alarm's place in the log, `<epoch>.<offset>`. */
  cursor: string;
  /** The same eventId was stored before; the cursor is the first one's. */
  duplicate: boolean;
}
