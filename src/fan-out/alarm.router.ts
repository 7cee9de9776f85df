import { Client, type ClientIdentity, type ClientOptions } from './client.js';
import type { Frame } from './frame.js';
import type { Sink } from './sink.js';

/** What a client asked for in its query; undefined: everything. Values of one list are alternatives. */
export interface AlarmFilter {
  readonly minSeverity: number | undefined;
  readonly businessTypes: ReadonlySet<string> | undefined;
  readonly businessIds: ReadonlySet<string> | undefined;
}

/** Which organisations' alarms a client may see. */
export interface OrganisationScope {
  covers(orgId: string): boolean;
}

/** What decides who gets an alarm. */
export interface AlarmAddress {
  readonly businessId: string;
  readonly businessType: string | undefined;
  readonly severity: number | undefined;
  readonly orgId: string | undefined;
}

/** An alarm without severity counts as this, the highest of OPC UA Part 9. */
const MAX_SEVERITY = 1000;

/** A connection of the alarm gateway. */
export class AlarmClient extends Client {
  constructor(
    identity: ClientIdentity,
    sink: Sink,
    options: ClientOptions,
    private readonly filter: AlarmFilter,
    private readonly organisationScope: OrganisationScope,
  ) {
    super(identity, sink, options);
  }

  /** An alarm without organisation is for everybody; then what the client asked for decides. */
  accepts({ businessId, businessType, severity, orgId }: AlarmAddress): boolean {
    const { minSeverity, businessTypes, businessIds } = this.filter;
    if (orgId !== undefined && !this.organisationScope.covers(orgId)) return false;
    if (minSeverity !== undefined && (severity ?? MAX_SEVERITY) < minSeverity) return false;
    if (businessTypes !== undefined && (businessType === undefined || !businessTypes.has(businessType))) return false;
    return businessIds === undefined || businessIds.has(businessId);
  }
}

/** Offers an alarm to every client that accepts it, and returns how many those are. */
export function routeAlarm(clients: Iterable<AlarmClient>, address: AlarmAddress, frame: Frame): number {
  let matched = 0;
  for (const client of clients) {
    if (!client.accepts(address)) continue;
    client.offer(frame);
    matched += 1;
  }
  return matched;
}
