/** A place in the alarm log: after the alarm `offset` of this `epoch`. Offset 0 is before the first. */
export interface Cursor {
  /** `[A-Za-z0-9_-]{1,32}`; a log that began anew has a new one. */
  readonly epoch: string;
  /** Contiguous within an epoch, at most 2^53-1. */
  readonly offset: number;
}

const CURSOR = /^([A-Za-z0-9_-]{1,32})\.(0|[1-9][0-9]{0,15})$/;

/** `<epoch>.<offset>`, as it stands on the wire. */
export function formatCursor({ epoch, offset }: Cursor): string {
  return `${epoch}.${offset}`;
}

/** undefined where the text is no cursor. */
export function parseCursor(text: string): Cursor | undefined {
  const [, epoch, digits] = CURSOR.exec(text) ?? [];
  const offset = Number(digits);
  if (epoch === undefined || !Number.isSafeInteger(offset)) return undefined;
  return { epoch, offset };
}
