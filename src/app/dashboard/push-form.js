import { curlCommand } from './examples.js';
import { byId, shortText } from './format.js';

/** @typedef {'raw-data' | 'alarms'} Kind */

/** The form that pushes a raw datum or an alarm over the HTTP routes. */
export class PushForm {
  /** @type {Kind} */ #kind = 'raw-data';

  /**
   * @param {boolean} isKeyNeeded
   * @param {(datum: Record<string, any>) => Promise<void>} prepare called before a raw datum is pushed
   */
  constructor(isKeyNeeded, prepare) {
    this.isKeyNeeded = isKeyNeeded;
    this.prepare = prepare;
  }

  enable() {
    byId('publish-key-field').hidden = !this.isKeyNeeded;
    byId('kind').addEventListener('change', ({ target }) =>
      this.#choose(/** @type {HTMLInputElement} */ (target).value),
    );
    for (const kind of /** @type {Kind[]} */ (['raw-data', 'alarms'])) {
      formOf(kind).addEventListener('input', () => this.#showCommand());
      formOf(kind).addEventListener('submit', (event) => {
        event.preventDefault();
        void this.#submit(kind);
      });
    }
    const chosen = document.querySelector('input[name="kind"]:checked');
    this.#choose(/** @type {HTMLInputElement | null} */ (chosen)?.value ?? 'raw-data');
  }

  /** @param {string} kind */
  #choose(kind) {
    this.#kind = kind === 'alarms' ? 'alarms' : 'raw-data';
    formOf('raw-data').hidden = this.#kind !== 'raw-data';
    formOf('alarms').hidden = this.#kind !== 'alarms';
    this.#showCommand();
  }

  #showCommand() {
    byId('curl').textContent = curlCommand(`/push/${this.#kind}`, bodyOf(this.#kind), this.isKeyNeeded);
  }

  /** @param {Kind} kind */
  async #submit(kind) {
    const body = bodyOf(kind);
    try {
      if (kind === 'raw-data') await this.prepare(body);
      const response = await fetch(`/push/${kind}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...this.#authorization() },
        body: JSON.stringify(body),
      });
      const answer = await response.json();
      show(response.ok ? 'success' : 'failure', `${response.status}  ${response.ok ? tell(answer) : answer.message}`);
    } catch (cause) {
      show('failure', `The request did not get through: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }

  #authorization() {
    const key = /** @type {HTMLInputElement} */ (byId('publish-key')).value;
    return key === '' ? {} : { Authorization: `Bearer ${key}` };
  }
}

/** @param {Kind} kind @returns {HTMLFormElement} */
function formOf(kind) {
  return /** @type {HTMLFormElement} */ (byId(`${kind}-form`));
}

/** @param {Kind} kind @returns {Record<string, any>} */
function bodyOf(kind) {
  const entries = [...new FormData(formOf(kind))].map(([name, value]) => [name, String(value).trim()]);
  const fields = Object.fromEntries(entries.filter(([, value]) => value !== ''));
  if (kind === 'raw-data') return { ...fields, value: numberOrText(fields['value'] ?? '') };
  const { state, severity, ...alarm } = fields;
  return {
    ...alarm,
    ...(severity === undefined ? {} : { severity: Number(severity) }),
    ...(state === 'event' ? {} : { active: state === 'active' }),
  };
}

/** @param {string} text */
function numberOrText(text) {
  const number = Number(text.replace(',', '.'));
  return text === '' || !Number.isFinite(number) ? text : number;
}

/** @param {any} answer */
function tell(answer) {
  if (!Array.isArray(answer.alarms)) {
    return `accepted, ${answer.matched} ${answer.matched === 1 ? 'client' : 'clients'} matched`;
  }
  return `stored at cursor ${shortText(answer.alarms[0]?.cursor ?? '')}`;
}

/** @param {'success' | 'failure'} kind @param {string} text */
function show(kind, text) {
  const answer = byId('answer');
  answer.dataset['kind'] = kind;
  answer.textContent = text;
}
