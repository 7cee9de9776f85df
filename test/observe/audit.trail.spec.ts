import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { AuditTrail } from '../../src/observe/audit.trail.js';
import { LogCapture } from '../support/log.capture.js';

let log: LogCapture;
let nowMs: number;

beforeEach(() => {
  log = LogCapture.start();
  nowMs = 1_000_000;
  jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
});

afterEach(() => {
  jest.restoreAllMocks();
  log.stop();
});

describe('a line of the audit trail', () => {
  test('is one of JSON for each event', () => {
    const audit = new AuditTrail();
    audit.connected('websocket:alarm:c1', { userName: 'ann', remoteAddress: '10.0.0.1' });
    audit.disconnected('websocket:alarm:c1', 4401, 'token expired');
    audit.disconnected('websocket:alarm:c2', 1006, '');
    audit.refused('tokenExpired', { gateway: 'alarm', status: 401, remoteAddress: '10.0.0.1', hint: undefined });
    expect(log.of('Audit')).toEqual([
      '{"event":"connect","key":"websocket:alarm:c1","userName":"ann","remoteAddress":"10.0.0.1"}',
      '{"event":"disconnect","key":"websocket:alarm:c1","code":4401,"reason":"token expired"}',
      '{"event":"disconnect","key":"websocket:alarm:c2","code":1006}',
      '{"event":"refuse","reason":"tokenExpired","gateway":"alarm","status":401,"remoteAddress":"10.0.0.1"}',
    ]);
    expect(new Set(log.lines.map(({ level }) => level))).toEqual(new Set(['log']));
  });

  test.each([
    ['line feeds', 'a\r\nb\n{"event":"connect"}'],
    ['a line separator', 'a\u2028b'],
    ['a paragraph separator', 'a\u2029b'],
    ['the next line of C1', 'a\u0085b'],
    ['a vertical tab and a form feed', 'a\u000b\u000cb'],
    ['colours of a terminal', '\u001b[31mred\u001b[2J'],
    ['an 8-bit escape', 'a\u009b31mb'],
    ['text that runs backwards', 'a\u202eb'],
    ['NUL', 'a\0b'],
    ['quotes', '"},{"event":"connect"'],
    ['half of a character', '\ud800'],
  ])('is never broken by %s', (_what, text) => {
    const audit = new AuditTrail();
    audit.connected(text, { userName: text });
    audit.disconnected(text, 1000, text);
    audit.refused(text, { hint: text });
    expect(log.of('Audit')).toHaveLength(3);
    for (const line of log.of('Audit')) {
      // eslint-disable-next-line no-control-regex -- control characters are what is looked for
      expect(line).not.toMatch(/[\u0000-\u001f\u0085\u2028\u2029]/);
      const read = JSON.parse(line) as Record<string, unknown>;
      expect(Object.values(read).filter((value) => value === text).length).toBeGreaterThan(0);
      expect(Buffer.from(line).toString()).toBe(line);
    }
  });

  test('is short, whatever a client sent', () => {
    const audit = new AuditTrail();
    audit.refused('origin', { hint: 'x'.repeat(100_000) });
    audit.disconnected('k', 1000, '🔥'.repeat(200));
    const [refused = '', disconnected = ''] = log.of('Audit');
    expect(refused.length).toBeLessThan(400);
    expect(refused).toContain('…');
    expect(disconnected.length).toBeLessThan(400);
  });
});

const flood = (audit: AuditTrail, count: number) => {
  for (let n = 0; n < count; n++) audit.refused('rateLimit', { n });
};

describe('more events than lines', () => {
  test('500 of a kind at once, the others are counted and told with the next line', () => {
    const audit = new AuditTrail();
    flood(audit, 1700);
    expect(log.of('Audit')).toHaveLength(500);
    nowMs += 20;
    flood(audit, 1);
    expect(log.lines.slice(500).map(({ level, message }) => [level, message])).toEqual([
      ['warn', '{"event":"refuse","suppressed":1200}'],
      ['log', '{"event":"refuse","reason":"rateLimit","n":0}'],
    ]);
    nowMs += 20;
    flood(audit, 1);
    expect(log.of('Audit')).toHaveLength(503);
  });

  test('50 of a kind a second', () => {
    const audit = new AuditTrail();
    flood(audit, 500);
    for (let n = 0; n < 1000; n++) {
      nowMs += 10;
      flood(audit, 1);
    }
    const written = log.audit().filter(({ suppressed }) => suppressed === undefined).length;
    expect(written - 500).toBeGreaterThan(480);
    expect(written - 500).toBeLessThanOrEqual(501);
    const told = log.audit().reduce((sum, { suppressed }) => sum + Number(suppressed ?? 0), 0);
    expect(written + told).toBeGreaterThanOrEqual(1499);
  });

  test('a flood of one kind silences no other', () => {
    const audit = new AuditTrail();
    flood(audit, 1000);
    audit.connected('k', {});
    audit.disconnected('k', 1000, '');
    expect(log.audit().slice(500)).toEqual([
      { event: 'connect', key: 'k' },
      { event: 'disconnect', key: 'k', code: 1000 },
    ]);
  });

  test('every refusal is counted by its reason, written or not', () => {
    const audit = new AuditTrail();
    flood(audit, 1000);
    audit.refused('origin', {});
    audit.connected('k', {});
    expect([...audit.refusalCounts]).toEqual([
      ['rateLimit', 1000],
      ['origin', 1],
    ]);
  });

  test('reasons that an authenticator makes up are counted together, however many they are', () => {
    const audit = new AuditTrail();
    for (let n = 0; n < 10_000; n++) audit.refused(`user ${n} is not known`, {});
    audit.refused('origin', {});
    expect([...audit.refusalCounts]).toEqual([
      ['other', 10_000],
      ['origin', 1],
    ]);
    expect(log.audit()[0]).toMatchObject({ reason: 'user 0 is not known' });
  });
});
