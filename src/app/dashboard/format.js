const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `1.4 MiB`; powers of 1024. @param {number} bytes @returns {string} */
export function formatBytes(bytes) {
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${bytes < 0 ? '−' : ''}${Number(value.toFixed(digits))} ${BYTE_UNITS[unit]}`;
}

/** A value with its unit, as short as it can be read. @param {number | null | undefined} value @param {string} unit */
export function formatValue(value, unit) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (unit === 'B') return formatBytes(value);
  if (unit === 'B/s') return `${formatBytes(value)}/s`;
  if (unit === '%') return `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
  const text = Math.abs(value) >= 1e6 ? value.toPrecision(4) : String(Math.round(value * 100) / 100);
  return unit === '' ? text : `${text} ${unit}`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

/** `14:03:27` in the reader's time zone. @param {number} atMs */
export function formatClock(atMs) {
  return CLOCK.format(new Date(atMs));
}

/** What was pushed may be anything: a short text of it. @param {unknown} value @param {number} [maxLength] */
export function shortText(value, maxLength = 200) {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return text.length > maxLength ? `${text.slice(0, maxLength - 1)}…` : text;
}

/** @param {string} tag @param {string} className @param {string} [text] */
export function element(tag, className, text) {
  const created = document.createElement(tag);
  created.className = className;
  if (text !== undefined) created.textContent = text;
  return created;
}

/** The element that the page itself has under this id. @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}
