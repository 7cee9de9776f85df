import { describe } from '@jest/globals';

/** As programs.setup.js names them, which has looked for them. */
export type Program = 'redis-server' | 'chromium' | 'nginx' | 'python3-websockets';

/** A suite that needs a program: skipped where the machine has none, which is told at the start of the run, and never in CI. */
export function describeWith(program: Program, name: string, suite: () => void): void {
  const missing = (process.env['TEST_MISSING_PROGRAMS'] ?? '').split(',');
  (missing.includes(program) ? describe.skip : describe)(name, suite);
}
