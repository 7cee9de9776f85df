import type { StoredValue } from '../fan-out/series-values.js';

/** First character of every record; another one where an older node would misread what follows. */
const VERSION = '1';

/**
 * What the records of a node begin with. A record is a value as it is kept in Redis: the version, the nodeId of its
 * producer, a space, its sequence there, a space, and its JSON.
 */
export function recordHead(nodeId: string): string {
  return `${VERSION}${nodeId} `;
}

/** Undefined where it is of a release that this one does not know, or of none. */
export function decodeRecord(record: string, conflationKey: string): StoredValue | undefined {
  const nodeIdEnd = record.indexOf(' ');
  const sequenceEnd = record.indexOf(' ', nodeIdEnd + 1);
  const nodeId = record.slice(VERSION.length, nodeIdEnd);
  const sequence = Number(record.slice(nodeIdEnd + 1, sequenceEnd));
  const json = record.slice(sequenceEnd + 1);
  const isWhole = nodeId !== '' && Number.isSafeInteger(sequence) && json.startsWith('{') && json.endsWith('}');
  if (!record.startsWith(VERSION) || sequenceEnd < 0 || !isWhole) return undefined;
  return { json, conflationKey, origin: { nodeId, sequence } };
}
