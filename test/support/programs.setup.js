import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** What some tests need, and whether this machine has it. */
const PROGRAMS = {
  'redis-server': () => spawnSync(process.env.REDIS_SERVER ?? 'redis-server', ['--version']).status === 0,
  chromium: () => existsSync('/usr/bin/chromium'),
  nginx: () => existsSync('/usr/sbin/nginx'),
  'python3-websockets': () => spawnSync('/usr/bin/python3', ['-c', 'import websockets']).status === 0,
};

/** Says once, at the start of a run, what will be skipped; in CI nothing may be. */
export default function tellWhatIsMissing() {
  const missing = Object.keys(PROGRAMS).filter((name) => !PROGRAMS[name]());
  // The processes of the tests inherit it.
  process.env.TEST_MISSING_PROGRAMS = missing.join(',');
  if (missing.length === 0) return;
  const what = `this machine has no ${missing.join(', no ')}`;
  if (process.env.CI === 'true') throw new Error(`CI may not skip what needs it: ${what}`);
  process.stderr.write(`\n!!! NOT ALL IS TESTED: ${what} !!!\n\n`);
}
