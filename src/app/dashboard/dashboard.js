import { connectAlarms, connectRawData } from '../client/sdk/index.js';
import { AlarmList } from './alarm-list.js';
import { loadAlarms, saveAlarms } from './alarm-store.js';
import { customPanel } from './chart-panel.js';
import { HostCharts } from './chart-panels.js';
import { enableCopying, showExamples } from './examples.js';
import { byId, element, formatClock, formatValue, shortText } from './format.js';
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
/** A push does not wait longer for its own subscription. */
const SUBSCRIBE_WITHIN_MS = 2000;

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
/** @type {Set<string>} */
const subscribed = new Set();
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

/** @param {string} id @param {string} phase @param {string} detail */
function showPhase(id, phase, detail) {
  byId(id).dataset['phase'] = phase;
  const place = byId(id).querySelector('.detail');
  if (place !== null) place.textContent = detail;
}

/** @param {string} id */
const showState =
  (id) =>
  (/** @type {{ state: string, reason: string }} */ { state, reason }) => {
    showPhase(id, state, state === 'waiting' ? `${reason}, trying again` : reason);
  };

/** Beside the connection, for a while. @param {string} detail */
function showNotice(detail) {
  clearTimeout(noticeTimer);
  showPhase('raw-data-state', 'open', detail);
  noticeTimer = setTimeout(() => {
    if (rawData.state === 'open') showPhase('raw-data-state', 'open', 'connected');
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

const rawData = connectRawData({ url: rawDataPath });
rawData.on('state', showState('raw-data-state'));
rawData.on('rawData', takeRawData);
rawData.on('conflated', ({ count }) => showNotice(`slow: ${count} values skipped`));
rawData.on('exception', ({ message }) => showNotice(shortText(message, 80)));

const alarmConnection = connectAlarms({
  url: ALARM_PATH,
  replay: FIRST_ALARMS,
  // After a reload the alarms go on behind those that were saved with this place.
  storage: {
    get: () => stored?.lastId,
    set: (_key, place) => {
      lastAlarmId = place;
      planSave();
    },
  },
});
alarmConnection.on('state', showState('alarm-state'));
alarmConnection.on('alarm', (alarm, { id }) => {
  alarms.add(id, alarm);
  planRender();
});
alarmConnection.on('gap', ({ reason }) => {
  alarms.showGap(reason);
  planSave();
  planRender();
});

/** Subscribes to the address of what is about to be pushed. @param {Record<string, any>} datum */
async function subscribeTo({ businessType, businessId }) {
  if (businessId === undefined) return;
  const name = JSON.stringify([businessType, businessId]);
  if (subscribed.has(name) || subscribed.size >= MAX_SUBSCRIPTIONS) return;
  subscribed.add(name);
  const answer = rawData.subscribe([{ businessType, businessId }]).catch(() => subscribed.delete(name));
  await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, SUBSCRIBE_WITHIN_MS))]);
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
