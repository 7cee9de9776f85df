import { byId, element, formatClock, shortText } from './format.js';

const MAX_ALARMS = 100;

/** OPC UA Part 9, 5.5.2: 1 to 1000 in five bands. @type {readonly [number, string, string][]} */
const SEVERITIES = [
  [801, 'critical', 'Critical'],
  [601, 'high', 'High'],
  [401, 'medium', 'Medium'],
  [201, 'low', 'Low'],
  [0, 'info', 'Info'],
];

/** Why alarms are missing, by the `reason` of the server's `gap`. @type {Readonly<Record<string, string>>} */
const GAPS = {
  retention: 'Alarms are missing: the server had removed them before this page could fetch them.',
  epoch: 'Alarms may be missing: the alarm log of the server has begun anew.',
  ahead: 'Alarms may be missing: the alarm log of the server is older than what this page shows.',
};

/**
 * An alarm as it is shown: no more of it than that. `hasOwnTime`: it says itself when it happened, else `atMs` is when it
 * came. `isUnconfirmed`: it came before a gap, in which its condition may have ended.
 *
 * @typedef {{
 *   key: string, id: string, atMs: number, hasOwnTime: boolean, severity: number, active: boolean | undefined, message: string, address: string,
 *   isUnconfirmed: boolean,
 * }} Entry
 * @typedef {import('./alarm-store.js').AlarmState} AlarmState
 * @typedef {import('./alarm-store.js').Gap} Gap
 */

/** The newest alarms, in the order in which they came: a condition has one row, which its later alarms update. */
export class AlarmList {
  /** @type {Map<string, Entry>} */ #entries = new Map();
  /** @type {Gap | undefined} */ #gap;

  /** @param {Pick<AlarmState, 'entries' | 'gap'>} state */
  constructor({ entries, gap }) {
    this.#entries = new Map(entries.map((entry) => [entry.key, entry]));
    this.#gap = gap;
  }

  /** @returns {Pick<AlarmState, 'entries' | 'gap'>} */
  get state() {
    return { entries: [...this.#entries.values()], gap: this.#gap };
  }

  /** An alarm may come again and is shown once. @param {string} id cursor of the alarm @param {Record<string, any>} data */
  add(id, data) {
    const entry = entryOf(id, data);
    const shown = this.#entries.get(entry.key);
    if (shown?.id === id && !shown.isUnconfirmed) return;
    this.#entries.delete(entry.key);
    this.#entries.set(entry.key, entry);
    this.#forgetOldest();
    byId('alarm-news').textContent = `${bandOf(entry).title} alarm, ${stateOf(entry).title}: ${entry.message}`;
  }

  /** @param {string} reason why the server cannot send what came after the last alarm */
  showGap(reason) {
    this.#gap = { reason, atMs: Date.now() };
    for (const [key, entry] of this.#entries) this.#entries.set(key, { ...entry, isUnconfirmed: true });
  }

  dismissGap() {
    this.#gap = undefined;
  }

  render() {
    const newestFirst = [...this.#entries.values()].toReversed();
    const active = newestFirst.filter((entry) => entry.active === true);
    const others = newestFirst.filter((entry) => entry.active !== true);
    byId('alarms').replaceChildren(...[...active, ...others].map(row));
    byId('alarms-empty').hidden = newestFirst.length > 0;
    const count = byId('alarm-count');
    count.textContent = active.length === 0 ? 'none active' : `${active.length} active`;
    count.classList.toggle('some', active.length > 0);
    document.title = active.length === 0 ? 'Push gateway' : `(${active.length}) Push gateway`;
    this.#renderGap();
  }

  #renderGap() {
    byId('alarm-gap').hidden = this.#gap === undefined;
    if (this.#gap === undefined) return;
    const { reason, atMs } = this.#gap;
    const text = `${GAPS[reason] ?? 'Alarms are missing.'} (${formatClock(atMs)})`;
    // A text that is set again would be read out again.
    if (byId('alarm-gap-text').textContent !== text) byId('alarm-gap-text').textContent = text;
  }

  /** What is over comes before what is still active. */
  #forgetOldest() {
    if (this.#entries.size <= MAX_ALARMS) return;
    const entries = [...this.#entries];
    const [oldest] = entries.find(([, { active }]) => active !== true) ?? entries[0] ?? [];
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
}

/** @param {string} id @param {Record<string, any>} data @returns {Entry} */
function entryOf(id, data) {
  const { businessType, businessId, conditionId, severity, active } = data;
  const ownTimeMs = timeOf(data['at']);
  return {
    key: isText(conditionId) ? `condition ${conditionId}` : id,
    id,
    atMs: Number.isNaN(ownTimeMs) ? Date.now() : ownTimeMs,
    hasOwnTime: !Number.isNaN(ownTimeMs),
    // An alarm without severity counts as 1000.
    severity: typeof severity === 'number' ? severity : 1000,
    active: typeof active === 'boolean' ? active : undefined,
    message: shortText(data['message'] ?? data),
    address: shortText([businessType, businessId, conditionId].filter(isText).join(' · ')),
    isUnconfirmed: false,
  };
}

/** @param {unknown} part */
function isText(part) {
  return typeof part === 'string';
}

/** @param {Entry} entry */
function row(entry) {
  const band = bandOf(entry);
  const state = stateOf(entry);
  const item = element('li', `alarm ${band.name} ${state.name}`);
  const head = element('div', 'alarm-head');
  const time = element('time', 'muted', `${entry.hasOwnTime ? '' : 'received '}${formatClock(entry.atMs)}`);
  time.setAttribute('datetime', new Date(entry.atMs).toISOString());
  head.append(
    element('span', 'severity', `${band.title} ${entry.severity}`),
    element('span', 'state', state.title),
    time,
  );
  item.append(head, element('p', 'message', entry.message), element('p', 'address muted', entry.address));
  return item;
}

/** @param {Entry} entry */
function bandOf({ severity }) {
  const [, name, title] = SEVERITIES.find(([from]) => severity >= from) ?? [0, 'info', 'Info'];
  return { name, title };
}

/** @param {Entry} entry */
function stateOf({ active, isUnconfirmed }) {
  if (active === true) return { name: 'active', title: isUnconfirmed ? 'Active before the gap' : 'Active' };
  return active === false ? { name: 'cleared', title: 'Cleared' } : { name: 'event', title: 'Event' };
}

/** NaN where it gives no usable one. @param {unknown} at */
function timeOf(at) {
  return typeof at === 'number' || typeof at === 'string' ? new Date(at).getTime() : Number.NaN;
}
