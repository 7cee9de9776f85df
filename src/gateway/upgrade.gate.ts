import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { AuthenticationError, Authenticator } from '../access/authenticator.js';
import { withoutTokens } from '../access/bearer.token.js';
import { type ConnectionLimit, ConnectionLimits } from '../access/connection-limits.js';
import { GuardedAuthorizer } from '../access/guarded.authorizer.js';
import type { Handshake } from '../access/handshake.js';
import { isOriginAllowed } from '../access/origin.js';
import { createPeerReader, type Peer, type PeerReader } from '../access/peer.js';
import type { Principal } from '../access/principal.js';
import type { PushAuthorizer } from '../access/push.authorizer.js';
import { REVOCATIONS, type Revocations } from '../access/revocations.js';
import { TICKETS, type Tickets } from '../access/tickets.js';
import { type AlarmAddress, isAlarmFor } from '../fan-out/alarm.client.js';
import { WireFormat } from '../fan-out/frame.js';
import { AuditTrail } from '../observe/audit.trail.js';
import { stackOf } from '../push.causes.js';
import { SubscriptionLimitError } from '../push.errors.js';
import { PushOptions } from '../push.options.js';
import { type AlarmPlace, AlarmPlaces, type AlarmRequest } from '../registry/alarm.places.js';
import { type Cover, RawDataCoverage } from '../registry/raw-data.coverage.js';
import { RawDataRegistry } from '../registry/raw-data.registry.js';
import { Session } from '../registry/sessions.js';
import { parseAlarmRequest } from './alarm.query.js';
import { answerOf } from './deadline.js';
import { type GatewayRoute } from './gateway.routes.js';
import { NodeState } from './node-state.js';
import type { Refusal } from './refusal.js';
import { parseSubscription, type SubscriptionQuery } from './subscription.query.js';
import {
  checkRequest,
  checkWebSocketHeaders,
  chooseWireFormat,
  decodeParameters,
  isRefusal,
} from './upgrade.checks.js';

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

type RequestKind = 'upgrade' | 'get';

/**
 * Decides who may connect. All of it runs before the upgrade is answered, cheapest checks first, so that what is refused
 * costs little and is told why.
 */
@Injectable()
export class UpgradeGate {
  private readonly logger = new Logger(UpgradeGate.name);
  private readonly readPeer: PeerReader;

  constructor(
    private readonly options: PushOptions,
    private readonly state: NodeState,
    private readonly limits: ConnectionLimits,
    private readonly authenticator: Authenticator,
    @Inject(GuardedAuthorizer) private readonly authorizer: PushAuthorizer,
    @Inject(TICKETS) private readonly tickets: Tickets,
    @Inject(REVOCATIONS) private readonly revocations: Revocations,
    private readonly audit: AuditTrail,
    private readonly rawDataRegistry: RawDataRegistry,
    private readonly coverage: RawDataCoverage,
    private readonly alarmPlaces: AlarmPlaces,
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
    const place = new Place(() => this.limits.release(remoteAddress));
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
    place: Place,
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
    const principal = await this.authenticate(handshake, kind);
    if (isRefusal(principal)) return principal;
    const fault = this.takeUserPlace(principal, place) ?? (await this.forbidden(principal, handshake));
    if (fault !== undefined) return fault;
    const clientId = randomUUID();
    const cover = route.gateway === 'rawData' ? this.cover(clientId, parameters, asked.subscription, place) : undefined;
    if (cover?.ready !== undefined) await cover.ready;
    if (cover !== undefined && this.isTooLarge(parameters, asked.subscription)) return SNAPSHOT_TOO_LARGE;
    // Whoever has gone away meanwhile must not take a durable subscription over, nor one that is refused now.
    if (!this.state.isServing || (kind === 'upgrade' && request.socket.destroyed)) return NOT_SERVING;
    const session = new Session(principal);
    const scope = { covers: (orgId: string) => this.authorizer.mayHear(session.principal, orgId) };
    const acceptsAlarm = (address: AlarmAddress) => isAlarmFor(asked.alarms.filter, scope, address);
    const alarmPlace =
      route.gateway === 'alarm' ? await this.findPlace(asked.alarms, principal, acceptsAlarm, kind) : undefined;
    if (alarmPlace !== undefined && isRefusal(alarmPlace)) return alarmPlace;
    // Meanwhile the node may have begun to shut down, or the credentials were revoked.
    if (!this.state.isServing) return NOT_SERVING;
    if (this.revocations.isRevoked(principal)) return REVOKED;
    return { clientId, handshake, session, format, acceptsAlarm, alarmPlace, subscription: asked.subscription, cover };
  }

  private async authenticate(handshake: Handshake, kind: RequestKind): Promise<Principal | Refusal> {
    try {
      const principal = (await this.principalOfTicket(handshake, kind)) ?? (await this.askAuthenticator(handshake));
      if (!this.revocations.isRevoked(principal)) return principal;
      return REVOKED;
    } catch (cause) {
      if (cause instanceof AuthenticationError) {
        if (cause.status === 401) return unauthorized(cause.reason, cause.message);
        return { status: cause.status, error: cause.reason, message: cause.message };
      }
      this.logger.error(`authentication failed: ${describe(cause)}`);
      return { status: 503, error: 'authentication', message: 'authentication is not available now: try again later' };
    }
  }

  /** A plain GET asks only, and does not use a ticket up. */
  private async principalOfTicket({ query, request }: Handshake, kind: RequestKind): Promise<Principal | undefined> {
    const ticket = query.get('ticket');
    if (ticket === null) return undefined;
    const path = request.url?.split('?', 1)[0] ?? '';
    const principal = await (kind === 'get' ? this.tickets.look(ticket, path) : this.tickets.redeem(ticket, path));
    if (principal !== undefined) return principal;
    throw new AuthenticationError(
      'ticket',
      'this ticket was used, has expired, or is for another path: fetch a new one',
    );
  }

  private askAuthenticator(handshake: Handshake): Promise<Principal> {
    // A synchronous throw is a rejection too.
    return answerOf(Promise.resolve().then(() => this.authenticator.authenticate(handshake)));
  }

  private takeUserPlace({ userName }: Principal, place: Place): Refusal | undefined {
    if (userName === undefined || place.isReleased) return undefined;
    if (!this.limits.acquireUser(userName)) {
      return { status: 429, error: 'userLimit', message: 'too many connections of this user: close some first' };
    }
    place.onRelease(() => this.limits.releaseUser(userName));
    return undefined;
  }

  /** Whether this principal may have this path. */
  private async forbidden(principal: Principal, handshake: Handshake): Promise<Refusal | undefined> {
    const isOtherUser =
      handshake.gateway === 'rawData' &&
      principal.userName !== undefined &&
      principal.userName !== handshake.parameters['userName'];
    if (isOtherUser) {
      return {
        status: 403,
        error: 'forbiddenUser',
        message: 'the userName of the path is not the one that is authenticated',
      };
    }
    try {
      if ((await answerOf(this.authorizer.mayConnect(principal, handshake))) === true) return undefined;
      return { status: 403, error: 'forbiddenKey', message: 'this may not be seen with these credentials' };
    } catch (cause) {
      this.logger.error(`the authorizer failed: ${describe(cause)}`);
      return { status: 503, error: 'authorisation', message: 'authorisation is not available now: try again later' };
    }
  }

  /** A plain GET takes no durable subscription over. */
  private async findPlace(
    request: AlarmRequest,
    { userName = '' }: Principal,
    accepts: (address: AlarmAddress) => boolean,
    kind: RequestKind,
  ): Promise<AlarmPlace | Refusal | undefined> {
    try {
      if (kind === 'upgrade') return await this.alarmPlaces.find(request, userName, accepts);
      await this.alarmPlaces.check(request, userName);
      return undefined;
    } catch (cause) {
      if (cause instanceof SubscriptionLimitError) {
        return { status: 429, error: 'subscriptionLimit', message: `${cause.message}: use fewer names` };
      }
      this.logger.error(`the alarm log failed: ${describe(cause)}`);
      return { status: 503, error: 'alarmLog', message: 'the alarm log is not available now: try again later' };
    }
  }

  /** Before the 101: whatever is pushed on another node once this client is told `ready` reaches it. */
  private cover(
    clientId: string,
    { businessType = '', businessId = '', userName = '' }: Readonly<Record<string, string>>,
    subscription: SubscriptionQuery,
    place: Place,
  ): Cover {
    const cover = this.coverage.coverConnection({ businessType, businessId, userName, clientId, ...subscription });
    place.onRelease(() => cover.release());
    return cover;
  }

  private isTooLarge(
    { businessType = '', businessId = '' }: Readonly<Record<string, string>>,
    subscription: SubscriptionQuery,
  ): boolean {
    return this.rawDataRegistry.isSnapshotTooLarge({ businessType, businessId, ...subscription });
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

/** A place among the connections, given back once. */
class Place {
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

function unauthorized(error: string, message: string): Refusal {
  return { status: 401, error, message, headers: { 'WWW-Authenticate': 'Bearer' } };
}

/** Closing such a client for its full outbox would only make it come back for the same. */
const SNAPSHOT_TOO_LARGE: Refusal = {
  status: 400,
  error: 'snapshotTooLarge',
  message: 'the last values of this key are larger than half of an outbox: connect without snapshot and history',
};

const REVOKED = unauthorized('revoked', 'these credentials were revoked: fetch new ones');

function describe(cause: unknown): string {
  return withoutTokens(stackOf(cause));
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
