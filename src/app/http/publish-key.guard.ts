import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import {
  BadRequestException,
  type CanActivate,
  type ExecutionContext,
  ForbiddenException,
  Injectable,
  UnauthorizedException,
} from '@nestjs/common';
import { isOriginAllowed } from '../../access/origin.js';
import {
  createPeerReader,
  hasForwardingHeader,
  isLoopbackHost,
  type Peer,
  type PeerReader,
} from '../../access/peer.js';
import { Environment } from '../environment.js';

/**
 * Who may push, and see clients and metrics: with a publish key whoever sends it, else only this machine, unless
 * `PUSH_ALLOW_ANONYMOUS`. A page of a foreign origin may not, whatever it sends.
 */
@Injectable()
export class PublishKeyGuard implements CanActivate {
  private readonly readPeer: PeerReader;

  constructor(private readonly environment: Environment) {
    this.readPeer = createPeerReader(environment.PUSH_TRUST_PROXY);
  }

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<IncomingMessage>();
    const peer = this.readPeer(request);
    if (peer === undefined) throw new BadRequestException('exactly one Host header is needed');
    this.checkOrigin(request, peer);
    if (this.environment.PUSH_PUBLISH_KEY !== undefined) checkKey(request, this.environment.PUSH_PUBLISH_KEY);
    else if (this.environment.PUSH_AUTH === 'jwt')
      throw new ForbiddenException('this route needs PUSH_PUBLISH_KEY to be set');
    else if (!this.environment.PUSH_ALLOW_ANONYMOUS) checkIsLocal(request, peer);
    return true;
  }

  /** A browser sends a page's cross-site post without asking first, so the key alone would not be missed. */
  private checkOrigin({ headers }: IncomingMessage, peer: Peer): void {
    if (!isOriginAllowed(headers.origin, peer, this.environment.PUSH_ALLOWED_ORIGINS)) {
      throw new ForbiddenException('pages of this origin may not push: add it to PUSH_ALLOWED_ORIGINS');
    }
  }
}

function checkKey({ headers }: IncomingMessage, key: string): void {
  const given = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
  if (given === undefined || !timingSafeEqual(digest(given), digest(key))) {
    throw new UnauthorizedException('the publish key is needed: Authorization: Bearer <key>');
  }
}

/** Of one length for any key, as timingSafeEqual needs it. */
function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

function checkIsLocal(request: IncomingMessage, { isLoopbackPeer, host }: Peer): void {
  if (isLoopbackPeer && isLoopbackHost(host) && !hasForwardingHeader(request)) return;
  throw new ForbiddenException('without PUSH_PUBLISH_KEY only this machine may push');
}
