import { connectAlarms } from 'nestjs-push-gateway/client';

const SHOWN_ALARMS = 50;
const STORED_AS = 'alarms';

/**
 * What this page has shown, and the place in the alarm log behind it. Written together, so that a reload neither loses an
 * alarm nor shows one twice.
 * @type {{ place?: string, gap?: string, alarms: { id: string, text: string }[] }}
 */
const shown = JSON.parse(localStorage.getItem(STORED_AS) ?? '{"alarms":[]}');

const alarms = connectAlarms({
  replay: SHOWN_ALARMS, // on the first visit
  storage: {
    get: () => shown.place,
    set: (_key, place) => {
      shown.place = place;
      store();
    },
  },
});

alarms.on('alarm', ({ businessId, severity = 1000, active, message }, { id }) => {
  const change = active === false ? 'cleared' : 'raised';
  shown.alarms.unshift({ id, text: `${severity} ${change} ${businessId} ${message ?? ''}` });
  shown.alarms.length = Math.min(shown.alarms.length, SHOWN_ALARMS);
  show();
});
alarms.on('gap', ({ reason, requested, oldest }) => {
  shown.gap = `${reason}, after ${requested} it goes on with ${oldest}`;
  show();
});
alarms.on('state', ({ state, reason }) => {
  const place = find('#alarm-state');
  place.dataset['state'] = state;
  place.textContent = `${state}: ${reason}`;
});

find('#gap button').addEventListener('click', () => {
  delete shown.gap;
  store();
  show();
});

function store() {
  localStorage.setItem(STORED_AS, JSON.stringify(shown));
}

function show() {
  find('#gap').hidden = shown.gap === undefined;
  find('#gap b').textContent = shown.gap ?? '';
  const rows = shown.alarms.map(({ id, text }) => {
    const row = document.createElement('li');
    row.title = id;
    row.textContent = text;
    return row;
  });
  find('#alarms').replaceChildren(...rows);
}

/** @param {string} selector @returns {HTMLElement} */
function find(selector) {
  const found = document.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`the page has no ${selector}`);
  return found;
}

show();
