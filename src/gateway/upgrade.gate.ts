import type { IncomingMessage } from 'node:http';
import { Injectable, Logger } from '@nestjs/common';
import { AuthenticationError, Authenticator } from '../access/authenticator.js';
import { ConnectionLimits } from '../access/connection-limits.js';
import type { Handshake } from '../access/handshake.js';
import { isOriginAllowed } from '../access/origin.js';
import { createPeerReader, type Peer, type PeerReader } from '../access/peer.js';
import { keyScopeOf } from '../access/key-claims.js';
import { organisationCovers, type Principal } from '../access/principal.js';
import { type AlarmAddress, isAlarmFor } from '../fan-out/alarm.client.js';
import { WireFormat } from '../fan-out/frame.js';
import type { KeyScope } from '../fan-out/key-scope.js';
import { SubscriptionLimitError } from '../push.errors.js';
import { PushOptions } from '../push.options.js';
import { RawDataRegistry } from '../registry/raw-data.registry.js';
import { type AlarmPlace, AlarmPlaces, type AlarmRequest } from '../registry/alarm.places.js';
import { parseAlarmRequest } from './alarm.query.js';
import { parseSubscription, type SubscriptionQuery } from './subscription.query.js';
import { type GatewayRoute } from './gateway.routes.js';
import { NodeState } from './node-state.js';
import type { Refusal } from './refusal.js';
import {
  checkRequest,
  checkWebSocketHeaders,
  chooseWireFormat,
  decodeParameters,
  isRefusal,
} from './upgrade.checks.js';

/** A connection that may be made. */
export interface Admission {
  readonly handshake: Handshake;
  readonly principal: Principal;
  /** The keys that the principal may see; undefined: every key. */
  readonly keyScope: KeyScope | undefined;
  readonly format: WireFormat;
  /** Whether the client may have an alarm and asked for it. */
  readonly acceptsAlarm: (address: AlarmAddress) => boolean;
  /** Where the alarms begin; undefined on raw data. */
  readonly alarmPlace: AlarmPlace | undefined;
  /** What the query of the raw-data path asks for. */
  readonly subscription: SubscriptionQuery;
}

/** Has to be called once, when the connection's place is free again. */
export type Release = () => void;

/** An authenticator that takes longer refuses the connection (503), so that a pending upgrade never holds its place for good. */
const AUTHENTICATION_DEADLINE_MS = 5000;

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
  private readonly logger = new Logger(UpgradeGate.name);
  private readonly readPeer: PeerReader;

  constructor(
    private readonly options: PushOptions,
    private readonly state: NodeState,
    private readonly limits: ConnectionLimits,
    private readonly authenticator: Authenticator,
    private readonly rawDataRegistry: RawDataRegistry,
    private readonly alarmPlaces: AlarmPlaces,
  ) {
    this.readPeer = createPeerReader(options.trustProxy);
  }

  /** Checks an upgrade, or the plain GET that asks what an upgrade would be answered. Takes a place where it admits. */
  async decide(
    request: IncomingMessage,
    route: GatewayRoute,
    kind: 'upgrade' | 'get',
  ): Promise<Refusal | { admission: Admission; release: Release }> {
    const peer = this.checkEntry(request, kind);
    if (isRefusal(peer)) return this.refused(request, peer);
    const limit = this.limits.acquire(peer.remoteAddress);
    if (limit !== undefined) return this.refused(request, limitRefusal(limit));
    const release = once(() => this.limits.release(peer.remoteAddress));
    // A pending upgrade holds its place; whoever goes away meanwhile gives it back.
    if (kind === 'upgrade') request.socket.once('close', release);
    const admission = await this.admit(request, route, kind, peer);
    if (!isRefusal(admission)) return { admission, release };
    release();
    return this.refused(request, admission);
  }

  private checkEntry(request: IncomingMessage, kind: 'upgrade' | 'get'): Peer | Refusal {
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
    kind: 'upgrade' | 'get',
    peer: Peer,
  ): Promise<Admission | Refusal> {
    const parameters = decodeParameters(route.rawParameters);
    if (isRefusal(parameters)) return parameters;
    const format = kind === 'get' ? WireFormat.plain : chooseWireFormat(request);
    if (isRefusal(format)) return format;
    const query = new URLSearchParams(request.url?.split('?').slice(1).join('?'));
    const alarmRequest = parseAlarmRequest(
      route.gateway === 'alarm' ? query : NO_QUERY,
      route.gateway === 'alarm' ? request.headersDistinct['last-event-id']?.join() : undefined,
      kind === 'get' || format === WireFormat.pushV1,
    );
    if (isRefusal(alarmRequest)) return alarmRequest;
    const subscription = parseSubscription(route.gateway === 'rawData' ? query : NO_QUERY);
    if (isRefusal(subscription)) return subscription;
    const handshake: Handshake = { request, gateway: route.gateway, query, parameters, ...peer };
    const principal = await this.authenticate(handshake);
    if (isRefusal(principal)) return principal;
    const keyScope = keyScopeOf(principal.keys);
    const fault =
      route.gateway === 'rawData'
        ? (forbidden(principal, keyScope, parameters) ?? this.tooLarge(parameters, subscription))
        : undefined;
    if (fault !== undefined) return fault;
    const scope = { covers: (orgId: string) => organisationCovers(principal, orgId) };
    const acceptsAlarm = (address: AlarmAddress) => isAlarmFor(alarmRequest.filter, scope, address);
    // Whoever has gone away meanwhile must not take a durable subscription over, nor one that is refused now.
    if (!this.state.isServing || (kind === 'upgrade' && request.socket.destroyed)) return NOT_SERVING;
    const alarmPlace =
      route.gateway === 'alarm' ? await this.findPlace(alarmRequest, principal, acceptsAlarm, kind) : undefined;
    if (alarmPlace !== undefined && isRefusal(alarmPlace)) return alarmPlace;
    // Meanwhile the node may have begun to shut down.
    if (!this.state.isServing) return NOT_SERVING;
    return { handshake, principal, keyScope, format, acceptsAlarm, alarmPlace, subscription };
  }

  /** A plain GET takes no durable subscription over. */
  private async findPlace(
    request: AlarmRequest,
    { userName = '' }: Principal,
    accepts: (address: AlarmAddress) => boolean,
    kind: 'upgrade' | 'get',
  ): Promise<AlarmPlace | Refusal | undefined> {
    try {
      if (kind === 'upgrade') return await this.alarmPlaces.find(request, userName, accepts);
      await this.alarmPlaces.check(request, userName);
      return undefined;
    } catch (cause) {
      if (cause instanceof SubscriptionLimitError) {
        return { status: 429, error: 'subscriptionLimit', message: `${cause.message}: use fewer names` };
      }
      this.logger.error('the alarm log failed', cause instanceof Error ? cause.stack : undefined);
      return { status: 503, error: 'alarmLog', message: 'the alarm log is not available now: try again later' };
    }
  }

  /** Closing such a client for its full outbox would only make it come back for the same. */
  private tooLarge(
    { businessType = '', businessId = '' }: Readonly<Record<string, string>>,
    subscription: SubscriptionQuery,
  ): Refusal | undefined {
    if (!this.rawDataRegistry.isSnapshotTooLarge({ businessType, businessId, ...subscription })) return undefined;
    return {
      status: 400,
      error: 'snapshotTooLarge',
      message: 'the last values of this key are larger than half of an outbox: connect without snapshot and history',
    };
  }

  private async authenticate(handshake: Handshake): Promise<Principal | Refusal> {
    try {
      return await withDeadline(this.authenticator.authenticate(handshake), AUTHENTICATION_DEADLINE_MS);
    } catch (cause) {
      if (cause instanceof AuthenticationError) {
        return { status: cause.status, error: cause.reason, message: cause.message };
      }
      this.logger.error('the authenticator failed', cause instanceof Error ? cause.stack : undefined);
      return { status: 503, error: 'authentication', message: 'authentication is not available now: try again later' };
    }
  }

  private refused(request: IncomingMessage, refusal: Refusal): Refusal {
    this.logger.debug(
      `refused ${refusal.status} ${refusal.error} from ${request.socket.remoteAddress ?? 'a closed socket'}`,
    );
    return refusal;
  }
}

async function withDeadline<T>(work: T | Promise<T>, deadlineMs: number): Promise<T> {
  if (!(work instanceof Promise)) return work;
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the authenticator did not answer within ${deadlineMs} ms`)), deadlineMs);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether this principal may have this path. */
function forbidden(
  { userName }: Principal,
  keyScope: KeyScope | undefined,
  parameters: Readonly<Record<string, string>>,
): Refusal | undefined {
  if (userName !== undefined && userName !== parameters['userName']) {
    return {
      status: 403,
      error: 'forbiddenUser',
      message: 'the userName of the path is not the one that is authenticated',
    };
  }
  const { businessType = '', businessId = '' } = parameters;
  if (keyScope?.covers(businessType, businessId) === false) {
    return { status: 403, error: 'forbiddenKey', message: 'this key may not be seen with these credentials' };
  }
  return undefined;
}

function limitRefusal(limit: 'total' | 'address'): Refusal {
  const headers = { 'Retry-After': '5' };
  return limit === 'total'
    ? { status: 503, error: 'full', message: 'this node has no place for another connection: try again later', headers }
    : {
        status: 429,
        error: 'addressLimit',
        message: 'too many connections from this address: close some first',
        headers,
      };
}

function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    action();
  };
}
