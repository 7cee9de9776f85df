import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

const BUFFER_LENGTH = 16 * 1024;
const WRITE_AFTER_MS = 50;
const READ_BYTES = 1024 * 1024;

/** Streams events to a file, one JSON line each. */
export class HistoryWriter<E extends object> {
  private readonly descriptor: number;
  private lines = '';
  private timer: NodeJS.Timeout | undefined;

  constructor(file: string) {
    this.descriptor = openSync(file, 'a');
  }

  write(event: E): void {
    this.lines += `${JSON.stringify(event)}\n`;
    if (this.lines.length > BUFFER_LENGTH) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), WRITE_AFTER_MS);
  }

  close(): void {
    this.flush();
    closeSync(this.descriptor);
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const bytes = Buffer.from(this.lines);
    this.lines = '';
    for (let written = 0; written < bytes.length;) written += writeSync(this.descriptor, bytes, written);
  }
}

/** The events of a file, read bit by bit. */
export function* readHistory<E extends object>(file: string): Generator<E, void, undefined> {
  const descriptor = openSync(file, 'r');
  try {
    const decoder = new StringDecoder('utf8');
    const chunk = Buffer.alloc(READ_BYTES);
    let rest = '';
    for (let count = readSync(descriptor, chunk); count > 0; count = readSync(descriptor, chunk)) {
      const lines = (rest + decoder.write(chunk.subarray(0, count))).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line) as E;
    }
    if (rest !== '') throw new Error(`${file} ends within a line`);
  } finally {
    closeSync(descriptor);
  }
}

/** What stands for an alarm in a history. */
export function digestOf(alarm: object): string {
  return createHash('sha256').update(JSON.stringify(alarm)).digest('base64url').slice(0, 16);
}
