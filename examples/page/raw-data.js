import { sharedRawData } from 'nestjs-push-gateway/client';

/** Values that a line is drawn of; the node has been asked for as many as it keeps. */
const SHOWN_VALUES = 60;
/** Faster than anybody sees. What is pushed more often is thinned out by the server. */
const MAX_FREQUENCY_HZ = 5;
const SVG = 'http://www.w3.org/2000/svg';

// One connection for all panels. The key of its address is unsubscribed from, unless a panel watches it.
const shared = sharedRawData({ businessType: 'meter', businessId: 'm-7', userName: 'page' });

shared.connection.on('state', ({ state, reason }) => {
  const place = find('#raw-data-state');
  place.dataset['state'] = state;
  place.textContent = `${state}: ${reason}`;
});
shared.connection.on('refused', ([key]) =>
  notice(`${key?.businessType} ${key?.businessId} is refused: ${key?.reason}`),
);
shared.connection.on('conflated', ({ count }) =>
  notice(`this page was slow: ${count} values were replaced by newer ones`),
);

/** Shows the series of a key, until it is unsubscribed from. @param {string} businessType @param {string} businessId */
function addPanel(businessType, businessId) {
  const panel = document.createElement('article');
  const heading = document.createElement('h2');
  const button = document.createElement('button');
  heading.append(`${businessType} ${businessId} `, button);
  button.textContent = 'Unsubscribe';
  panel.append(heading);
  find('#panels').append(panel);

  /** @type {Map<string, (value: number) => void>} */
  const lines = new Map();
  const asked = { businessType, businessId, maxFrequencyHz: MAX_FREQUENCY_HZ, snapshot: true, history: SHOWN_VALUES };
  const unwatch = shared.watch(asked, ({ businessId: id = '', series = '', value }) => {
    if (typeof value !== 'number') return;
    const name = `${id} ${series}`;
    const draw = lines.get(name) ?? addLine(panel, name);
    lines.set(name, draw);
    draw(value);
  });
  button.addEventListener('click', () => {
    unwatch();
    panel.remove();
  });
}

/** Returns what draws the next value. @param {Element} panel @param {string} name */
function addLine(panel, name) {
  const row = document.createElement('div');
  const label = document.createElement('span');
  const svg = document.createElementNS(SVG, 'svg');
  const line = document.createElementNS(SVG, 'polyline');
  const output = document.createElement('output');
  row.className = 'series';
  row.append(label, svg, output);
  label.textContent = name;
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.append(line);
  line.setAttribute('vector-effect', 'non-scaling-stroke');
  panel.append(row);

  /** @type {number[]} */
  const values = [];
  return (/** @type {number} */ value) => {
    values.push(value);
    if (values.length > SHOWN_VALUES) values.shift();
    const least = Math.min(...values);
    const span = Math.max(...values) - least || 1;
    svg.setAttribute('viewBox', `0 -0.05 ${SHOWN_VALUES - 1} 1.1`);
    line.setAttribute('points', values.map((each, x) => `${x},${1 - (each - least) / span}`).join(' '));
    output.textContent = value.toLocaleString(undefined, { maximumFractionDigits: 2 });
  };
}

const form = /** @type {HTMLFormElement} */ (find('#subscribe'));
form.addEventListener('submit', (event) => {
  event.preventDefault();
  const { businessType = '', businessId = '' } = Object.fromEntries(new FormData(form));
  notice('');
  addPanel(String(businessType), String(businessId));
});

/** @param {string} text */
function notice(text) {
  find('output[name=notice]').textContent = text;
}

/** @param {string} selector @returns {HTMLElement} */
function find(selector) {
  const found = document.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`the page has no ${selector}`);
  return found;
}

// What the demo of the node pushes, of whichever machine.
addPanel('host', '*');
