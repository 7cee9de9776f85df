const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 15_000;
/** Without any message for this many heartbeats the connection counts as dead. */
const MISSED_HEARTBEATS = 2.5;
/** Codes after which connecting again as before would end the same way. */
const STOP_CODES = new Set([4400, 4401, 4403, 4409]);

/**
 * One socket of the gateway on `push.v1`, connected again with growing delays until it is told to stop.
 *
 * @typedef {{ event: string, id?: string, ref?: string | number, data: any }} Message
 * @typedef {'connecting' | 'open' | 'waiting' | 'stopped'} Phase
 */
export class PushConnection {
  /** @type {WebSocket | undefined} */ #socket;
  #failures = 0;
  #heartbeatMs = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #silenceTimer;
  #nextRef = 0;
  /** @type {Map<number, () => void>} */ #answers = new Map();

  /**
   * @param {() => string} path asked for each connection
   * @param {{ onMessage: (message: Message) => void, onPhase: (phase: Phase, detail: string) => void }} listeners
   */
  constructor(path, listeners) {
    this.path = path;
    this.listeners = listeners;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    this.listeners.onPhase('connecting', 'connecting');
    const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + this.path(), 'push.v1');
    let wasReady = false;
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      this.#watchSilence();
      const message = parse(data);
      if (message?.event === 'mark') {
        // Returned from here, it tells the gateway how far this page has really read.
        socket.send(data);
      } else if (message !== undefined) {
        if (message.event === 'ready') wasReady = this.#becomeReady(message.data);
        this.#settle(message.ref);
        this.listeners.onMessage(message);
      }
    });
    socket.addEventListener('close', ({ code, reason }) => {
      // A dead connection that was given up may still say so later.
      if (this.#socket !== socket) return;
      void this.#closed(code, reason, wasReady);
    });
  }

  /**
   * Sends an event and resolves with its answer, or after `timeoutMs` without one.
   * @param {string} event @param {unknown} data @param {number} [timeoutMs]
   */
  request(event, data, timeoutMs = 2000) {
    const ref = ++this.#nextRef;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#settle(ref), timeoutMs);
      this.#answers.set(ref, () => {
        clearTimeout(timer);
        resolve(undefined);
      });
      this.#socket?.send(JSON.stringify({ event, ref, data }));
    });
  }

  /** @param {{ heartbeatMs?: number }} data */
  #becomeReady({ heartbeatMs = 0 }) {
    this.#failures = 0;
    this.#heartbeatMs = heartbeatMs;
    this.#watchSilence();
    this.listeners.onPhase('open', 'connected');
    return true;
  }

  /** @param {string | number | undefined} ref */
  #settle(ref) {
    if (typeof ref !== 'number') return;
    this.#answers.get(ref)?.();
    this.#answers.delete(ref);
  }

  #watchSilence() {
    clearTimeout(this.#silenceTimer);
    if (this.#heartbeatMs <= 0) return;
    this.#silenceTimer = setTimeout(() => {
      const socket = this.#socket;
      void this.#closed(1006, 'no heartbeat', true);
      socket?.close();
    }, this.#heartbeatMs * MISSED_HEARTBEATS);
  }

  /** @param {number} code @param {string} reason @param {boolean} wasReady */
  async #closed(code, reason, wasReady) {
    clearTimeout(this.#silenceTimer);
    this.#socket = undefined;
    if (STOP_CODES.has(code)) {
      this.listeners.onPhase('stopped', `closed: ${reason || code}`);
      return;
    }
    this.#failures += 1;
    const ceilingMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#failures - 1));
    // Half of it by chance, lest all pages come back in the same instant.
    const delayMs = ceilingMs * (0.5 + Math.random() / 2);
    setTimeout(() => this.connect(), delayMs);
    this.listeners.onPhase('waiting', `${reason || 'no connection'}, trying again`);
    if (wasReady) return;
    const why = await this.#refusal();
    if (why !== undefined && this.#socket === undefined) this.listeners.onPhase('waiting', why);
  }

  /** A browser hides why an upgrade was refused; a plain GET of the same path answers it. */
  async #refusal() {
    try {
      const response = await fetch(this.path(), { headers: { Accept: 'application/json' } });
      const { message } = await response.json();
      return response.status === 426 || typeof message !== 'string' ? undefined : message;
    } catch {
      return 'the server does not answer, trying again';
    }
  }
}

/** @param {unknown} text @returns {Message | undefined} */
function parse(text) {
  if (typeof text !== 'string') return undefined;
  try {
    const message = JSON.parse(text);
    return typeof message?.event === 'string' ? message : undefined;
  } catch {
    // A broadcast text of an application need not be JSON, and is not for this page.
    return undefined;
  }
}
