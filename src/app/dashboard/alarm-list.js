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

/** @typedef {{ id: string, data: Record<string, any>, atMs: number }} Entry */

/** The alarms of this session: a condition has one row, which its later alarms update. */
export class AlarmList {
  /** @type {Map<string, Entry>} */ #entries = new Map();

  /** @param {string} id cursor of the alarm @param {Record<string, any>} data */
  add(id, data) {
    const key = keyOf(id, data);
    this.#entries.delete(key);
    this.#entries.set(key, { id, data, atMs: timeOf(data['at']) });
    this.#forgetOldest();
    byId('alarm-news').textContent = `${severityOf(data).title} alarm, ${stateOf(data).title}: ${messageOf(data)}`;
  }

  render() {
    const newestFirst = [...this.#entries.values()].toReversed();
    const active = newestFirst.filter(({ data }) => data['active'] === true);
    const others = newestFirst.filter(({ data }) => data['active'] !== true);
    byId('alarms').replaceChildren(...[...active, ...others].map(row));
    byId('alarms-empty').hidden = newestFirst.length > 0;
    const count = byId('alarm-count');
    count.textContent = active.length === 0 ? 'none active' : `${active.length} active`;
    count.classList.toggle('some', active.length > 0);
    document.title = active.length === 0 ? 'Push gateway' : `(${active.length}) Push gateway`;
  }

  /** What is over comes before what is still active. */
  #forgetOldest() {
    if (this.#entries.size <= MAX_ALARMS) return;
    const entries = [...this.#entries];
    const [oldest] = entries.find(([, { data }]) => data['active'] !== true) ?? entries[0] ?? [];
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
}

/** @param {string} id @param {Record<string, any>} data */
function keyOf(id, { businessType, businessId, conditionId }) {
  return typeof conditionId === 'string' ? JSON.stringify([businessType, businessId, conditionId]) : id;
}

/** @param {Entry} entry */
function row({ data, atMs }) {
  const severity = severityOf(data);
  const state = stateOf(data);
  const entry = element('li', `alarm ${severity.name} ${state.name}`);
  const head = element('div', 'alarm-head');
  const time = element('time', 'muted', formatClock(atMs));
  time.setAttribute('datetime', new Date(atMs).toISOString());
  head.append(
    element('span', 'severity', `${severity.title} ${severity.value}`),
    element('span', 'state', state.title),
    time,
  );
  const { businessType, businessId, conditionId } = data;
  const address = [businessType, businessId, conditionId].filter((part) => typeof part === 'string').join(' · ');
  entry.append(head, element('p', 'message', messageOf(data)), element('p', 'address muted', shortText(address)));
  return entry;
}

/** An alarm without severity counts as 1000. @param {Record<string, any>} data */
function severityOf({ severity }) {
  const value = typeof severity === 'number' ? severity : 1000;
  const [, name, title] = SEVERITIES.find(([from]) => value >= from) ?? [0, 'info', 'Info'];
  return { value, name, title };
}

/** @param {Record<string, any>} data */
function stateOf({ active }) {
  if (active === true) return { name: 'active', title: 'Active' };
  return active === false ? { name: 'cleared', title: 'Cleared' } : { name: 'event', title: 'Event' };
}

/** @param {Record<string, any>} data */
function messageOf(data) {
  return shortText(data['message'] ?? data);
}

/** The alarm's own time where it gives a usable one, else now. @param {unknown} at */
function timeOf(at) {
  const atMs = typeof at === 'number' || typeof at === 'string' ? new Date(at).getTime() : Number.NaN;
  return Number.isNaN(atMs) ? Date.now() : atMs;
}
