import { AT_BASE, AT_DIGITS, N_BASE, N_DIGITS, SERIES_DIGITS } from '../datum.js';

/** Distances from the end of the payload: what stands before the JSON can vary in length. */
interface Layout {
  readonly series: number;
  readonly at: number;
  readonly n: number;
}

/**
 * Reads the numbers of a datum or an alarm out of its payload. All of one connection are laid out alike, so the places
 * are looked for once.
 */
export class DatumReader {
  private layout: Layout | undefined;

  series(bytes: Buffer, start: number, end: number): number {
    return digits(bytes, end - this.layoutOf(bytes, start, end).series, SERIES_DIGITS);
  }

  atMicros(bytes: Buffer, start: number, end: number): number {
    return digits(bytes, end - this.layoutOf(bytes, start, end).at, AT_DIGITS) - AT_BASE;
  }

  n(bytes: Buffer, start: number, end: number): number {
    return digits(bytes, end - this.layoutOf(bytes, start, end).n, N_DIGITS) - N_BASE;
  }

  private layoutOf(bytes: Buffer, start: number, end: number): Layout {
    if (this.layout !== undefined) return this.layout;
    const payload = bytes.toString('latin1', start, end);
    const behind = (text: string) => payload.length - payload.indexOf(text) - text.length;
    return (this.layout = { series: behind('"series":"s'), at: behind('"at":'), n: behind('"n":') });
  }
}

function digits(bytes: Buffer, start: number, count: number): number {
  let value = 0;
  for (let i = start; i < start + count; i++) {
    const digit = (bytes[i] ?? 0) - 48;
    if (digit < 0 || digit > 9) throw new Error('a datum is not laid out as the one before it');
    value = value * 10 + digit;
  }
  return value;
}
