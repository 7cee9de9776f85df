import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Inject, Injectable } from '@nestjs/common';
import { type ConnectionLimit, ConnectionLimits } from '../access/connection-limits.js';
import { GuardedAuthorizer } from '../access/guarded.authorizer.js';
import type { Handshake } from '../access/handshake.js';
import { isOriginAllowed } from '../access/origin.js';
import { createPeerReader, type Peer, type PeerReader } from '../access/peer.js';
import type { Principal } from '../access/principal.js';
import type { PushAuthorizer } from '../access/push.authorizer.js';
import { type AlarmAddress, isAlarmFor } from '../fan-out/alarm.client.js';
import { WireFormat } from '../fan-out/frame.js';
import { AuditTrail } from '../observe/audit.trail.js';
import { PushOptions } from '../push.options.js';
import type { AlarmRequest } from '../registry/alarm.places.js';
import { Session } from '../registry/sessions.js';
import { type Admission, ConnectionPlace, type RequestKind } from './admission.js';
import { parseAlarmRequest } from './alarm.query.js';
import { ClientPlacing } from './client.placing.js';
import type { GatewayRoute } from './gateway.routes.js';
import { NodeState } from './node-state.js';
import { PrincipalCheck } from './principal.check.js';
import type { Refusal } from './refusal.js';
import { parseSubscription, type SubscriptionQuery } from './subscription.query.js';
import {
  checkRequest,
  checkWebSocketHeaders,
  chooseWireFormat,
  decodeParameters,
  isRefusal,
} from './upgrade.checks.js';

/** Has to be called once, when the connection's place is free again. */
export type Release = () => void;

/** The query of the other gateway's parameters. */
const NO_QUERY = new URLSearchParams();

export const NOT_SERVING: Refusal = {
  status: 503,
  error: 'unavailable',
  message: 'this node is starting or shutting down: try again, perhaps at another node',
  headers: { 'Retry-After': '1' },
};

/**
 * Decides who may connect. All of it runs before the upgrade is answered, cheapest checks first, so that what is refused
 * costs little and is told why.
 */
@Injectable()
export class UpgradeGate {
  private readonly readPeer: PeerReader;

  constructor(
    private readonly options: PushOptions,
    private readonly state: NodeState,
    private readonly limits: ConnectionLimits,
    private readonly principals: PrincipalCheck,
    private readonly placing: ClientPlacing,
    @Inject(GuardedAuthorizer) private readonly authorizer: PushAuthorizer,
    private readonly audit: AuditTrail,
  ) {
    this.readPeer = createPeerReader(options.trustProxy);
  }

  /** Checks an upgrade, or the plain GET that asks what an upgrade would be answered. Takes a place where it admits. */
  async decide(
    request: IncomingMessage,
    route: GatewayRoute,
    kind: RequestKind,
  ): Promise<Refusal | { admission: Admission; release: Release }> {
    const peer = this.checkEntry(request, kind);
    if (isRefusal(peer)) return this.refused(request, route, peer);
    const { remoteAddress } = peer;
    const limit = this.limits.acquire(remoteAddress);
    if (limit !== undefined) return this.refused(request, route, LIMIT_REFUSALS[limit], remoteAddress);
    const place = new ConnectionPlace(() => this.limits.release(remoteAddress));
    // A pending upgrade holds its place; whoever goes away meanwhile gives it back.
    if (kind === 'upgrade') request.socket.once('close', () => place.release());
    const admission = await this.admit(request, route, kind, peer, place);
    if (!isRefusal(admission)) return { admission, release: () => place.release() };
    place.release();
    return this.refused(request, route, admission, remoteAddress);
  }

  private checkEntry(request: IncomingMessage, kind: RequestKind): Peer | Refusal {
    if (!this.state.isServing) return NOT_SERVING;
    const fault = checkRequest(request) ?? (kind === 'upgrade' ? checkWebSocketHeaders(request) : undefined);
    if (fault !== undefined) return fault;
    const peer = this.readPeer(request);
    if (peer === undefined) return { status: 400, error: 'host', message: 'exactly one Host header is required' };
    const [origin, ...others] = request.headersDistinct['origin'] ?? [];
    if (others.length > 0 || !isOriginAllowed(origin, peer, this.options.allowedOrigins)) {
      return {
        status: 403,
        error: 'origin',
        message: 'pages of this origin may not connect: add it to the allowed origins of the server',
      };
    }
    return peer;
  }

  private async admit(
    request: IncomingMessage,
    route: GatewayRoute,
    kind: RequestKind,
    peer: Peer,
    place: ConnectionPlace,
  ): Promise<Admission | Refusal> {
    const parameters = decodeParameters(route.rawParameters);
    if (isRefusal(parameters)) return parameters;
    const format = kind === 'get' ? WireFormat.plain : chooseWireFormat(request);
    if (isRefusal(format)) return format;
    const query = new URLSearchParams(request.url?.split('?').slice(1).join('?'));
    const isTwoWay = kind === 'get' || format === WireFormat.pushV1;
    const asked = askedFor(route, query, request, isTwoWay);
    if (isRefusal(asked)) return asked;
    const handshake: Handshake = { request, gateway: route.gateway, query, parameters, ...peer };
    const principal = await this.principals.authenticate(handshake, kind);
    if (isRefusal(principal)) return principal;
    const fault = this.takeUserPlace(principal, place) ?? (await this.principals.forbidden(principal, handshake));
    if (fault !== undefined) return fault;
    // Whoever has gone away meanwhile must not take a durable subscription over, nor one that is refused now.
    if (!this.state.isServing || (kind === 'upgrade' && request.socket.destroyed)) return NOT_SERVING;
    const session = new Session(principal);
    const scope = { covers: (orgId: string) => this.authorizer.mayHear(session.principal, orgId) };
    const acceptsAlarm = (address: AlarmAddress) => isAlarmFor(asked.alarms.filter, scope, address);
    const clientId = randomUUID();
    const admission = { clientId, handshake, session, format, acceptsAlarm, subscription: asked.subscription };
    const placed =
      route.gateway === 'rawData'
        ? await this.placing.cover({ clientId, ...addressIn(parameters), ...asked.subscription }, place)
        : await this.placing.findPlace(asked.alarms, principal, acceptsAlarm, kind);
    if (isRefusal(placed)) return placed;
    // Meanwhile the node may have begun to shut down, or the credentials were revoked.
    if (!this.state.isServing) return NOT_SERVING;
    return this.principals.revoked(principal) ?? { ...admission, ...placed };
  }

  private takeUserPlace({ userName }: Principal, place: ConnectionPlace): Refusal | undefined {
    if (userName === undefined || place.isReleased) return undefined;
    if (!this.limits.acquireUser(userName)) {
      return { status: 429, error: 'userLimit', message: 'too many connections of this user: close some first' };
    }
    place.onRelease(() => this.limits.releaseUser(userName));
    return undefined;
  }

  private refused(
    { headers }: IncomingMessage,
    { gateway }: GatewayRoute,
    refusal: Refusal,
    remoteAddress?: string,
  ): Refusal {
    const { status, error } = refusal;
    const origin = error === 'origin' ? headers.origin : undefined;
    const hint = origin === undefined ? undefined : `add it to allowedOrigins (PUSH_ALLOWED_ORIGINS): ${origin}`;
    this.audit.refused(error, { gateway, status, remoteAddress, hint });
    return refusal;
  }
}

function addressIn({ businessType = '', businessId = '', userName = '' }: Readonly<Record<string, string>>) {
  return { businessType, businessId, userName };
}

interface Asked {
  readonly alarms: AlarmRequest;
  readonly subscription: SubscriptionQuery;
}

function askedFor(
  { gateway }: GatewayRoute,
  query: URLSearchParams,
  { headersDistinct }: IncomingMessage,
  isTwoWay: boolean,
): Asked | Refusal {
  const isAlarm = gateway === 'alarm';
  const lastEventId = isAlarm ? headersDistinct['last-event-id']?.join() : undefined;
  const alarms = parseAlarmRequest(isAlarm ? query : NO_QUERY, lastEventId, isTwoWay);
  if (isRefusal(alarms)) return alarms;
  const subscription = parseSubscription(isAlarm ? NO_QUERY : query);
  return isRefusal(subscription) ? subscription : { alarms, subscription };
}

const RETRY_LATER = { 'Retry-After': '5' };
const LIMIT_REFUSALS: Readonly<Record<ConnectionLimit, Refusal>> = {
  total: {
    status: 503,
    error: 'full',
    message: 'this node has no place for another connection: try again later',
    headers: RETRY_LATER,
  },
  address: {
    status: 429,
    error: 'addressLimit',
    message: 'too many connections from this address: close some first',
    headers: RETRY_LATER,
  },
  rate: {
    status: 429,
    error: 'rateLimit',
    message: 'too many connections a second from this address: try again more slowly',
    headers: RETRY_LATER,
  },
};
