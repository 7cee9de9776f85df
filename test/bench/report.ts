/** One line of a case's table; columns appear in the order in which rows name them. */
export interface Row {
  readonly contender: string;
  readonly values: Readonly<Record<string, number | string | undefined>>;
}

/** What is measured against `limit`. Undefined: could not be measured here, the note says why. */
export interface Bar {
  readonly what: string;
  readonly bound: 'at most' | 'at least';
  readonly measured: number | undefined;
  readonly limit: number;
  readonly unit: string;
}

export interface CaseReport {
  readonly rows: readonly Row[];
  readonly bars: readonly Bar[];
  readonly notes: readonly string[];
}

export type Verdict = 'PASS' | 'below' | 'skipped';

export function verdictOf({ bound, measured, limit }: Bar): Verdict {
  if (measured === undefined) return 'skipped';
  const isMet = bound === 'at most' ? measured <= limit : measured >= limit;
  return isMet ? 'PASS' : 'below';
}

export function atMost(what: string, measured: number | undefined, limit: number, unit = ''): Bar {
  return { what, bound: 'at most', measured, limit, unit };
}

export function atLeast(what: string, measured: number | undefined, limit: number, unit = ''): Bar {
  return { what, bound: 'at least', measured, limit, unit };
}
