/** One line of a case's table; columns appear in the order in which rows name them. */
export interface Row {
  readonly contender: string;
  readonly values: Readonly<Record<string, number | string | undefined>>;
}

/** `measured` at most `limit`. Undefined: could not be measured here, the note says why. */
export interface Bar {
  readonly what: string;
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

export function verdictOf({ measured, limit }: Bar): Verdict {
  if (measured === undefined) return 'skipped';
  return measured <= limit ? 'PASS' : 'below';
}

export function atMost(what: string, measured: number | undefined, limit: number, unit = ''): Bar {
  return { what, measured, limit, unit };
}
