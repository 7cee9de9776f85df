import type { FaultReport } from './fault.run.js';

/** One line of figures, beside those of jest. */
export function print(what: string, { verdicts, ...figures }: FaultReport): void {
  const text = Object.entries(figures).map(([name, value]) => `${name} ${value}`);
  process.stdout.write(`${what}: ${text.join(', ')}, verdicts ${verdicts.length}\n`);
}

/** What could not be tried on this machine: loud, and a failure where tests are meant to be complete. */
export function skipLoudly(what: string): void {
  if (process.env['CI'] === 'true') throw new Error(`CI has to be able to try it: ${what}`);
  process.stdout.write(`\n!!! NOT TRIED: ${what}\n\n`);
}
