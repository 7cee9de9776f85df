import { byId } from './format.js';

/** @param {{ rawDataPath: string, alarmPath: string }} paths */
export function showExamples({ rawDataPath, alarmPath }) {
  const origin = location.origin.replace(/^http/, 'ws');
  const ownPath = rawDataPath.replace(/[^/]*$/, 'me');
  byId('raw-data-url').textContent = `${origin}/ws/rowdata/{businessType}/{businessId}/{userName}`;
  byId('alarm-url').textContent = `${origin}${alarmPath}`;
  // In a page of this server the first line is: from '/client/sdk/index.js'
  byId('raw-data-example').textContent = `import { connectRawData } from 'nestjs-push-gateway/client';

const url = '${origin}${ownPath}';
const rawData = connectRawData({ url, snapshot: true });
rawData.on('rawData', ({ series, value }) => console.log(series, value));
rawData.on('state', ({ state, reason }) => console.log(state, reason));`;
  byId('alarm-example').textContent = `import { connectAlarms } from 'nestjs-push-gateway/client';

const alarms = connectAlarms({
  base: '${origin}',
  filters: { minSeverity: 400 },
  replay: 50, // on the first visit; then it goes on where it was
});
alarms.on('alarm', ({ severity, message }) => console.log(severity, message));
alarms.on('gap', ({ reason }) => console.warn('alarms are missing:', reason));`;
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
