const STORED_AS = 'push-gateway.alarms';
const CURSOR = /^[A-Za-z0-9_-]{1,32}\.(\d{1,16})$/;

/**
 * @typedef {import('./alarm-list.js').Entry} Entry
 * @typedef {{ reason: string, atMs: number }} Gap
 * @typedef {{ lastId: string, entries: Entry[], gap: Gap | undefined }} AlarmState
 */

/**
 * What this browser keeps of the alarms: the id to go on after and the alarms up to it, always written together. A browser
 * without storage keeps nothing, and the page works until it is closed.
 */

/** Undefined on the first visit, and where what is stored cannot be used. @returns {AlarmState | undefined} */
export function loadAlarms() {
  try {
    const { lastId, entries, gap } = JSON.parse(localStorage.getItem(STORED_AS) ?? '');
    if (!isCursor(lastId) || !Array.isArray(entries) || !entries.every(isEntry)) return undefined;
    return { lastId, entries, gap: isGap(gap) ? gap : undefined };
  } catch {
    return undefined;
  }
}

/** @param {AlarmState} state */
export function saveAlarms(state) {
  try {
    localStorage.setItem(STORED_AS, JSON.stringify(state));
  } catch {
    // Switched off or full: what was stored before still belongs together.
  }
}

/** The server would refuse anything else, again and again. @param {unknown} id */
function isCursor(id) {
  const [, offset] = (typeof id === 'string' && CURSOR.exec(id)) || [];
  return offset !== undefined && Number.isSafeInteger(Number(offset));
}

/** @param {any} entry */
function isEntry(entry) {
  const { key, id, atMs, severity, message, address } = entry;
  const texts = [key, id, message, address];
  return texts.every((text) => typeof text === 'string') && isTime(atMs) && Number.isFinite(severity);
}

/** @param {any} gap */
function isGap(gap) {
  return typeof gap?.reason === 'string' && isTime(gap.atMs);
}

/** @param {unknown} atMs */
function isTime(atMs) {
  return typeof atMs === 'number' && !Number.isNaN(new Date(atMs).getTime());
}
