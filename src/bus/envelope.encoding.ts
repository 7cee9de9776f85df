import { conflationKey, partFault, seriesOfConflationKey } from '../fan-out/key.js';
import type { PushTarget } from '../fan-out/raw-data.router.js';
import type { DatumOrigin, RawDataEnvelope } from './bus.js';

/** First character of every message; another one where an older node would misread what follows. */
const VERSION = '1';

/** A datum and its number among those of its node. */
export interface NumberedEnvelope {
  readonly sequence: number;
  readonly envelope: RawDataEnvelope;
}

export interface DecodedEnvelope {
  readonly origin: DatumOrigin;
  readonly envelope: RawDataEnvelope;
}

/** Why a message is not taken: it is of a newer release, or of none. */
export type EnvelopeFault = 'unknownVersion' | 'malformed';

/** The head of a message. What a datum leaves out is as the head says; what older releases do not know, they pass over. */
interface Head {
  /** Of the first datum. */
  readonly sequence: number;
  readonly businessType: string;
  /** Absent: data for every client that may see the businessType. */
  readonly businessId?: string | undefined;
  readonly data: readonly DatumHead[];
}

interface DatumHead {
  /** Where it does not follow on that of the datum before. */
  readonly sequence?: number | undefined;
  /** Where the address is not the head's: this and `businessId`. */
  readonly businessType?: string | undefined;
  readonly businessId?: string | undefined;
  readonly series?: string | undefined;
  readonly to?: PushTarget | undefined;
  readonly except?: string | undefined;
}

/**
 * One message to the other nodes: the version, the sender's nodeId, a space, the head as JSON, and the JSON of each datum
 * on a line of its own (JSON holds no raw line break).
 */
export function encodeEnvelopes(nodeId: string, data: readonly NumberedEnvelope[]): string {
  const [first] = data;
  if (first === undefined) throw new RangeError('there is nothing to encode');
  const { businessType, businessId } = first.envelope;
  let expected = first.sequence;
  const heads = data.map(({ sequence, envelope }): DatumHead => {
    const { conflationKey: key, to, except } = envelope;
    const series = seriesOfConflationKey(key);
    // What is undefined JSON leaves out.
    const head: DatumHead = {
      sequence: sequence === expected ? undefined : sequence,
      businessType: undefined,
      businessId: undefined,
      series: series === '' ? undefined : series,
      to,
      except,
    };
    expected = sequence + 1;
    const isElsewhere = envelope.businessType !== businessType || envelope.businessId !== businessId;
    return isElsewhere ? { ...head, businessType: envelope.businessType, businessId: envelope.businessId } : head;
  });
  const head: Head = { sequence: first.sequence, businessType, businessId, data: heads };
  const lines = data.map(({ envelope }) => envelope.datumJson);
  return `${envelopePrefix(nodeId)}${JSON.stringify(head)}\n${lines.join('\n')}`;
}

/** What every message of a node begins with. */
export function envelopePrefix(nodeId: string): string {
  return `${VERSION}${nodeId} `;
}

const SENDER = /^([\w-]{1,64}) /;
const MAX_PREFIX_LENGTH = 66;

/** All of the data of a message, or why none of them is taken. Never throws. */
export function decodeEnvelopes(text: string): readonly DecodedEnvelope[] | EnvelopeFault {
  if (text === '') return 'malformed';
  if (!text.startsWith(VERSION)) return 'unknownVersion';
  const nodeId = SENDER.exec(text.slice(VERSION.length, MAX_PREFIX_LENGTH))?.[1];
  if (nodeId === undefined) return 'malformed';
  const [headJson = '', ...lines] = text.slice(envelopePrefix(nodeId).length).split('\n');
  const head = parse(headJson);
  if (!isHead(head) || head.data.length !== lines.length) return 'malformed';
  const decoded: DecodedEnvelope[] = [];
  let expected = head.sequence;
  for (const [index, datumJson] of lines.entries()) {
    const datumHead = head.data[index];
    if (!isDatumHead(datumHead) || !isObjectText(datumJson)) return 'malformed';
    const { sequence = expected } = datumHead;
    decoded.push({ origin: { nodeId, sequence }, envelope: envelopeOf(head, datumHead, datumJson) });
    expected = sequence + 1;
  }
  return decoded;
}

function envelopeOf(head: Head, datumHead: DatumHead, datumJson: string): RawDataEnvelope {
  const { businessType = head.businessType, series = '', to, except } = datumHead;
  const { businessId } = datumHead.businessType === undefined ? head : datumHead;
  const key = conflationKey(businessType, businessId ?? '', series);
  return { datumJson, conflationKey: key, businessType, businessId, to, except };
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isHead(value: unknown): value is Head & { readonly data: readonly unknown[] } {
  return (
    isObject(value) &&
    isSequence(value['sequence']) &&
    isPart(value['businessType']) &&
    isPartOrAbsent(value['businessId']) &&
    Array.isArray(value['data']) &&
    value['data'].length > 0
  );
}

function isDatumHead(value: unknown): value is DatumHead {
  return (
    isObject(value) &&
    (value['sequence'] === undefined || isSequence(value['sequence'])) &&
    isPartOrAbsent(value['businessType']) &&
    isPartOrAbsent(value['businessId']) &&
    (value['series'] === undefined || typeof value['series'] === 'string') &&
    (value['to'] === undefined || isTarget(value['to'])) &&
    isPartOrAbsent(value['except'])
  );
}

/** A part that is not known here narrows, so passing over it would widen: such a message is not taken. */
function isTarget(value: unknown): value is PushTarget {
  if (!isObject(value)) return false;
  const parts = Object.entries(value);
  return parts.length > 0 && parts.every(([name, part]) => TARGET_PARTS.has(name) && isPart(part));
}

const TARGET_PARTS: ReadonlySet<string> = new Set(['businessType', 'businessId', 'userName', 'clientId']);

const isPart = (value: unknown): value is string => partFault(value) === undefined;
const isPartOrAbsent = (value: unknown) => value === undefined || isPart(value);
const isSequence = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

/** Whether it is JSON is the sender's to know: looking would cost as much as all the rest. */
function isObjectText(text: string): boolean {
  return text.startsWith('{') && text.endsWith('}');
}
