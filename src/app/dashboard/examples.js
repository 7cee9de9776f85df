import { byId } from './format.js';

/** @param {{ rawDataPath: string, alarmPath: string }} paths */
export function showExamples({ rawDataPath, alarmPath }) {
  const origin = location.origin.replace(/^http/, 'ws');
  const ownPath = rawDataPath.replace(/[^/]*$/, 'me');
  byId('raw-data-url').textContent = `${origin}/ws/rowdata/{businessType}/{businessId}/{userName}`;
  byId('alarm-url').textContent = `${origin}${alarmPath}`;
  byId('raw-data-example').textContent = `const url = '${origin}${ownPath}';
const socket = new WebSocket(url, 'push.v1');
socket.onmessage = ({ data: text }) => {
  const { event, data } = JSON.parse(text);
  if (event === 'rawData') console.log(data.series, data.value);
  // Sent back, a mark tells the server how far you have read.
  if (event === 'mark') socket.send(text);
};`;
  byId('alarm-example').textContent = `const last = localStorage.getItem('last-alarm');
const begin = last === null ? 'replay=50' : 'lastEventId=' + last;
const url = '${origin}${alarmPath}?minSeverity=400&' + begin;
const socket = new WebSocket(url, 'push.v1');
socket.onmessage = ({ data: text }) => {
  const { event, id, data } = JSON.parse(text);
  if (event === 'alarm') console.log(data.severity, data.message);
  if (event === 'gap') console.warn('alarms are missing:', data.reason);
  // Of an alarm or a heartbeat: where to go on next time.
  if (id !== undefined) localStorage.setItem('last-alarm', id);
  if (event === 'mark') socket.send(text);
};`;
}

/** The request of the form as a command. @param {string} route @param {object} body @param {boolean} needsKey */
export function curlCommand(route, body, needsKey) {
  const lines = [`curl ${location.origin}${route}`, `-H 'Content-Type: application/json'`];
  if (needsKey) lines.push(`-H "Authorization: Bearer $PUSH_PUBLISH_KEY"`);
  lines.push(`-d ${shellQuote(JSON.stringify(body))}`);
  return lines.join(' \\\n  ');
}

/** @param {string} text */
function shellQuote(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Every button with `data-copies` copies the text of that element. */
export function enableCopying() {
  for (const button of document.querySelectorAll('button[data-copies]')) {
    button.addEventListener('click', () => copy(/** @type {HTMLButtonElement} */ (button)));
  }
}

/** @param {HTMLButtonElement} button */
async function copy(button) {
  const source = byId(button.dataset['copies'] ?? '');
  try {
    await navigator.clipboard.writeText(source.textContent ?? '');
    button.textContent = 'Copied';
  } catch {
    // Without a secure context or the permission: selected, it is one key away.
    getSelection()?.selectAllChildren(source);
    button.textContent = 'Selected';
  }
  setTimeout(() => (button.textContent = 'Copy'), 1500);
}
