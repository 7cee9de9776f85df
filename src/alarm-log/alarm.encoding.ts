import type { AlarmEntry, AlarmFields, NewAlarm } from './alarm-log.js';

/**
 * An alarm in a file: a head of numbers, then its fields, its eventId and its JSON as one text, so that one decoding
 * gives them all. The lengths in the head count characters, as substring does; `jsonBytes` counts bytes.
 */
const FORMAT = 1;
const FORMAT_AT = 0;
const FLAGS_AT = 1;
const LENGTHS_AT = 2;
const JSON_BYTES_AT = 12;
const OFFSET_AT = 16;
const TIME_AT = 24;
const SEVERITY_AT = 32;
const TEXT_AT = 40;

const HAS_BUSINESS_TYPE = 0x01;
const HAS_ORG_ID = 0x02;
const HAS_CONDITION_ID = 0x04;
const HAS_EVENT_ID = 0x08;
const HAS_SEVERITY = 0x10;
const HAS_ACTIVE = 0x20;
const IS_ACTIVE = 0x40;

/** What the log itself needs of an alarm that it removes. */
export interface StoredFacts {
  readonly atMs: number;
  readonly eventId: string | undefined;
  readonly conditionId: string | undefined;
  readonly jsonBytes: number;
}

export function encodeAlarm({ json, fields, eventId }: NewAlarm, offset: number, atMs: number): Buffer {
  const { businessId, businessType = '', orgId = '', conditionId = '' } = fields;
  const names = businessId + businessType + orgId + conditionId + (eventId ?? '');
  const nameBytes = Buffer.byteLength(names);
  const jsonBytes = Buffer.byteLength(json);
  const stored = Buffer.allocUnsafe(TEXT_AT + nameBytes + jsonBytes);
  stored[FORMAT_AT] = FORMAT;
  stored[FLAGS_AT] = flagsOf(fields, eventId);
  const lengths = [businessId.length, businessType.length, orgId.length, conditionId.length, eventId?.length ?? 0];
  lengths.forEach((length, i) => stored.writeUInt16LE(length, LENGTHS_AT + 2 * i));
  stored.writeUInt32LE(jsonBytes, JSON_BYTES_AT);
  stored.writeDoubleLE(offset, OFFSET_AT);
  stored.writeDoubleLE(atMs, TIME_AT);
  stored.writeDoubleLE(fields.severity ?? 0, SEVERITY_AT);
  stored.write(names, TEXT_AT);
  stored.write(json, TEXT_AT + nameBytes);
  return stored;
}

export function decodeAlarm(stored: Buffer, epoch: string): AlarmEntry {
  const flags = flagsIn(stored);
  const text = stored.toString('utf8', TEXT_AT);
  const typeAt = stored.readUInt16LE(LENGTHS_AT);
  const orgAt = typeAt + stored.readUInt16LE(LENGTHS_AT + 2);
  const conditionAt = orgAt + stored.readUInt16LE(LENGTHS_AT + 4);
  const eventAt = conditionAt + stored.readUInt16LE(LENGTHS_AT + 6);
  const jsonAt = eventAt + stored.readUInt16LE(LENGTHS_AT + 8);
  return {
    epoch,
    offset: stored.readDoubleLE(OFFSET_AT),
    json: text.slice(jsonAt),
    fields: {
      businessId: text.slice(0, typeAt),
      businessType: flags & HAS_BUSINESS_TYPE ? text.slice(typeAt, orgAt) : undefined,
      severity: flags & HAS_SEVERITY ? stored.readDoubleLE(SEVERITY_AT) : undefined,
      orgId: flags & HAS_ORG_ID ? text.slice(orgAt, conditionAt) : undefined,
      conditionId: flags & HAS_CONDITION_ID ? text.slice(conditionAt, eventAt) : undefined,
      active: flags & HAS_ACTIVE ? (flags & IS_ACTIVE) !== 0 : undefined,
    },
  };
}

export function decodeFacts(stored: Buffer): StoredFacts {
  const flags = flagsIn(stored);
  const jsonBytes = storedJsonBytes(stored);
  const names = stored.toString('utf8', TEXT_AT, stored.length - jsonBytes);
  const eventAt = names.length - stored.readUInt16LE(LENGTHS_AT + 8);
  const conditionAt = eventAt - stored.readUInt16LE(LENGTHS_AT + 6);
  return {
    atMs: stored.readDoubleLE(TIME_AT),
    eventId: flags & HAS_EVENT_ID ? names.slice(eventAt) : undefined,
    conditionId: flags & HAS_CONDITION_ID ? names.slice(conditionAt, eventAt) : undefined,
    jsonBytes,
  };
}

export function storedJsonBytes(stored: Buffer): number {
  return stored.readUInt32LE(JSON_BYTES_AT);
}

function flagsOf(fields: AlarmFields, eventId: string | undefined): number {
  let flags = 0;
  if (fields.businessType !== undefined) flags |= HAS_BUSINESS_TYPE;
  if (fields.orgId !== undefined) flags |= HAS_ORG_ID;
  if (fields.conditionId !== undefined) flags |= HAS_CONDITION_ID;
  if (eventId !== undefined) flags |= HAS_EVENT_ID;
  if (fields.severity !== undefined) flags |= HAS_SEVERITY;
  if (fields.active !== undefined) flags |= HAS_ACTIVE;
  if (fields.active === true) flags |= IS_ACTIVE;
  return flags;
}

function flagsIn(stored: Buffer): number {
  const format = stored.readUInt8(FORMAT_AT);
  if (format !== FORMAT) throw new Error(`the alarm log has an alarm of format ${format}, written by another version`);
  return stored.readUInt8(FLAGS_AT);
}
