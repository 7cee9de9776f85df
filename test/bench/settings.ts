import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

export interface Settings {
  /** Names of the cases; empty: all. */
  readonly cases: readonly string[];
  /** Short durations and few clients: shows that the benchmark runs, its numbers say little. */
  readonly isQuick: boolean;
  readonly jsonPath: string;
  /** Writes a CPU profile of each server's measured rounds there. */
  readonly profileDirectory: string | undefined;
  readonly rounds: number;
  /** Of one contender in one round, the first quarter not counted. */
  readonly roundMs: number;
  readonly clients: number;
}

export const USAGE = `npm run bench [-- [--quick] [--json <file>] [--profile <directory>] [<case> …]]`;

export function readSettings(argv: readonly string[]): Settings {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'string', default: join(tmpdir(), 'bench-results.json') },
      profile: { type: 'string' },
    },
  });
  const isQuick = values.quick;
  return {
    cases: positionals,
    isQuick,
    jsonPath: values.json,
    profileDirectory: values.profile,
    rounds: isQuick ? 2 : 9,
    roundMs: isQuick ? 1200 : 2500,
    clients: isQuick ? 200 : 1000,
  };
}
