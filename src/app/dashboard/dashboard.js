import { AlarmList } from './alarm-list.js';
import { loadAlarms, saveAlarms } from './alarm-store.js';
import { customPanel } from './chart-panel.js';
import { HostCharts } from './chart-panels.js';
import { enableCopying, showExamples } from './examples.js';
import { byId, element, formatClock, formatValue, shortText } from './format.js';
import { PushConnection } from './push-connection.js';
import { PushForm } from './push-form.js';

const ALARM_PATH = '/ws/alarm';
/** Alarms of before that a page gets on its first visit. */
const FIRST_ALARMS = 50;
const MAX_RECEIVED = 6;
const MAX_SUBSCRIPTIONS = 50;
/** A datum's own time counts only when it is near this clock's: a wrong one would empty the charts. */
const MAX_CLOCK_SKEW_MS = 10 * 60_000;
/** Redraws per second are bounded, however fast the data come. */
const RENDER_INTERVAL_MS = 100;
const NOTICE_MS = 5000;
const SAVE_INTERVAL_MS = 250;

const host = await (await fetch('/demo/host')).json();
const rawDataPath = `/ws/rowdata/${[host.businessType, host.businessId, 'dashboard'].map(encodeURIComponent).join('/')}`;

const charts = new HostCharts(byId('charts'));
const stored = loadAlarms();
const alarms = new AlarmList(stored ?? { entries: [], gap: undefined });
/** The place in the alarm log up to which this page has everything. */
let lastAlarmId = stored?.lastId;
const custom = customPanel({
  unit: '',
  title: 'Your values',
  label: (series) => series,
  isMain: (series) => custom.table.names[0] === series,
  top: (maximum) => Math.max(1, maximum * 1.15),
  headline: () => lastCustomValue,
});
let lastCustomValue = '';
/** @type {Map<string, { businessType: string, businessId: string }>} */
const subscriptions = new Map();
let windowMs = 120_000;
let isPaused = false;
let isRenderPlanned = false;
let isSavePlanned = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let noticeTimer;

function planRender() {
  if (isRenderPlanned || isPaused) return;
  isRenderPlanned = true;
  setTimeout(() => requestAnimationFrame(render), RENDER_INTERVAL_MS);
}

function render() {
  isRenderPlanned = false;
  if (isPaused) return;
  charts.render(windowMs);
  if (custom.table.names.length > 0) custom.render(windowMs);
  alarms.render();
}

/** @param {Record<string, any>} datum */
function takeRawData(datum) {
  const { businessType, businessId, series, value, at } = datum;
  const now = Date.now();
  const isHost = businessType === host.businessType && businessId === host.businessId;
  if (isHost && typeof series === 'string' && Number.isFinite(value)) {
    charts.add(series, Math.abs(at - now) < MAX_CLOCK_SKEW_MS ? at : now, value);
  }
  if (!isHost) takeCustom(datum, now);
  planRender();
}

/** @param {Record<string, any>} datum @param {number} now */
function takeCustom(datum, now) {
  const { businessType, businessId, series, value, unit } = datum;
  const name = [businessType, businessId, series].filter((part) => typeof part === 'string' && part !== '').join(' · ');
  if (Number.isFinite(value)) {
    byId('custom-chart').hidden = false;
    custom.table.set(shortText(name, 60), now, value);
    lastCustomValue = formatValue(value, typeof unit === 'string' ? shortText(unit, 12) : '');
  }
  byId('custom-empty').hidden = true;
  const row = element('li', '');
  row.append(
    element('span', 'muted', formatClock(now)),
    element('span', 'name', shortText(name, 80)),
    element('span', 'value', shortText(value ?? datum, 120)),
  );
  byId('received').prepend(row);
  while (byId('received').children.length > MAX_RECEIVED) byId('received').lastElementChild?.remove();
}

/** @param {string} id */
const showPhase = (id) => (/** @type {string} */ phase, /** @type {string} */ detail) => {
  byId(id).dataset['phase'] = phase;
  const place = byId(id).querySelector('.detail');
  if (place !== null) place.textContent = detail;
};

/** Beside the connection, for a while. @param {string} detail */
function showNotice(detail) {
  clearTimeout(noticeTimer);
  showPhase('raw-data-state')('open', detail);
  noticeTimer = setTimeout(() => {
    if (rawData.isOpen) showPhase('raw-data-state')('open', 'connected');
  }, NOTICE_MS);
}

function save() {
  isSavePlanned = false;
  if (lastAlarmId !== undefined) saveAlarms({ lastId: lastAlarmId, ...alarms.state });
}

function planSave() {
  if (isSavePlanned) return;
  isSavePlanned = true;
  setTimeout(save, SAVE_INTERVAL_MS);
}

/** After a drop, a reload or a restart of the server the alarms go on where this page was. */
function alarmPath() {
  const begin = lastAlarmId === undefined ? `replay=${FIRST_ALARMS}` : `lastEventId=${lastAlarmId}`;
  return `${ALARM_PATH}?${begin}`;
}

const rawData = new PushConnection(() => rawDataPath, {
  onPhase: showPhase('raw-data-state'),
  onMessage: ({ event, data }) => {
    if (event === 'ready' && subscriptions.size > 0)
      void rawData.request('subscribe', { keys: [...subscriptions.values()] });
    if (event === 'rawData') takeRawData(data);
    if (event === 'conflated') showNotice(`slow: ${data.count} values skipped`);
    if (event === 'exception') showNotice(shortText(data.message, 80));
  },
});

const alarmConnection = new PushConnection(alarmPath, {
  onPhase: showPhase('alarm-state'),
  onMessage: ({ event, id, data }) => {
    if (event === 'ready') lastAlarmId ??= data.cursor;
    if (event === 'alarm') alarms.add(id ?? '', data);
    if (event === 'gap') alarms.showGap(data.reason);
    // Of an alarm, or of a heartbeat, which says how far the others went.
    lastAlarmId = id ?? lastAlarmId;
    planSave();
    planRender();
  },
});

/** Subscribes to the address of what is about to be pushed. @param {Record<string, any>} datum */
async function subscribeTo({ businessType, businessId }) {
  if (businessId === undefined || !rawData.isOpen) return;
  const name = JSON.stringify([businessType, businessId]);
  if (subscriptions.has(name) || subscriptions.size >= MAX_SUBSCRIPTIONS) return;
  subscriptions.set(name, { businessType, businessId });
  await rawData.request('subscribe', { keys: [{ businessType, businessId }] });
}

byId('host').textContent = host.businessId;
showExamples({ rawDataPath, alarmPath: ALARM_PATH });
enableCopying();
new PushForm(host.isPublishKeyNeeded, subscribeTo).enable();

byId('window').addEventListener('change', ({ target }) => {
  windowMs = Number(/** @type {HTMLInputElement} */ (target).value) * 1000;
  planRender();
});
byId('pause').addEventListener('click', () => {
  isPaused = !isPaused;
  byId('pause').setAttribute('aria-pressed', String(isPaused));
  byId('pause').textContent = isPaused ? 'Resume' : 'Pause';
  planRender();
});
byId('alarm-gap-dismiss').addEventListener('click', () => {
  alarms.dismissGap();
  planSave();
  alarms.render();
});
addEventListener('pagehide', save);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  charts.restyle();
  if (custom.table.names.length > 0) custom.restyle();
  planRender();
});

charts.render(windowMs);
alarms.render();
rawData.connect();
alarmConnection.connect();
