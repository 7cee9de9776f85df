import { Injectable, Logger } from '@nestjs/common';
import { RateLimit } from '../fan-out/rate-limit.js';
import { refusalLabel } from './metric.labels.js';

/** Lines of one kind: so many a second, and so many at once. What is over is counted and told in one line. */
const LINES_A_SECOND = 50;
const LINES_AT_ONCE = 500;
const MAX_TEXT_LENGTH = 256;

export type AuditEvent = 'connect' | 'disconnect' | 'refuse';
type Fields = Readonly<Record<string, string | number | undefined>>;

interface Kind {
  total: number;
  suppressed: number;
  state: number;
}

/**
 * Who connected, was refused, or went: one line of JSON each, so that nothing a client sent can break a line. An attacker
 * cannot fill a disk with it: beyond a rate, lines of one kind are only counted.
 */
@Injectable()
export class AuditTrail {
  private readonly logger = new Logger('Audit');
  private readonly limit = new RateLimit(LINES_A_SECOND, LINES_AT_ONCE);
  private readonly kinds = new Map<AuditEvent, Kind>();
  private readonly refusals = new Map<string, number>();

  /** How often each reason refused a connection since the start; what an authenticator of the application makes up is `other`. */
  get refusalCounts(): ReadonlyMap<string, number> {
    return this.refusals;
  }

  connected(key: string, fields: Fields): void {
    this.write('connect', { key, ...fields });
  }

  disconnected(key: string, code: number, reason: string): void {
    this.write('disconnect', { key, code, reason: reason === '' ? undefined : reason });
  }

  refused(reason: string, fields: Fields): void {
    const counted = refusalLabel(reason);
    this.refusals.set(counted, (this.refusals.get(counted) ?? 0) + 1);
    this.write('refuse', { reason, ...fields });
  }

  private write(event: AuditEvent, fields: Fields): void {
    const kind = this.kindOf(event);
    kind.total += 1;
    const state = this.limit.next(kind.state, performance.now());
    if (state === undefined) {
      kind.suppressed += 1;
      return;
    }
    kind.state = state;
    if (kind.suppressed > 0) {
      this.logger.warn(lineOf({ event, suppressed: kind.suppressed }));
      kind.suppressed = 0;
    }
    this.logger.log(lineOf({ event, ...fields }));
  }

  private kindOf(event: AuditEvent): Kind {
    const kind = this.kinds.get(event) ?? { total: 0, suppressed: 0, state: 0 };
    this.kinds.set(event, kind);
    return kind;
  }
}

/** Control and format characters and what ends a line: 8-bit escapes of terminals, text that runs backwards. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** JSON escapes only control characters of ASCII. */
function lineOf(fields: Fields): string {
  const shortened = Object.entries(fields).map(([name, value]) => [
    name,
    typeof value === 'string' && value.length > MAX_TEXT_LENGTH ? `${value.slice(0, MAX_TEXT_LENGTH)}…` : value,
  ]);
  return JSON.stringify(Object.fromEntries(shortened)).replaceAll(UNPRINTABLE, escaped);
}

function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, i) => character.charCodeAt(i))
    .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
    .join('');
}
