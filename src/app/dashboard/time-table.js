/** Values of several series over time, as uPlot takes them; bounded in rows and columns. */
export class TimeTable {
  /** @type {number[]} */ #times = [];
  /** @type {Map<string, (number | null)[]>} */ #columns = new Map();

  /** @param {number} maxRows @param {number} maxColumns */
  constructor(maxRows, maxColumns) {
    this.maxRows = maxRows;
    this.maxColumns = maxColumns;
  }

  /** @returns {string[]} */
  get names() {
    return [...this.#columns.keys()];
  }

  get lastAtMs() {
    return this.#times.at(-1) ?? 0;
  }

  /** False where it was not taken: too many columns, or older than what is there. @param {string} name @param {number} atMs @param {number} value */
  set(name, atMs, value) {
    if (atMs < this.lastAtMs) return false;
    let column = this.#columns.get(name);
    if (column === undefined) {
      if (this.#columns.size >= this.maxColumns) return false;
      column = this.#times.map(() => null);
      this.#columns.set(name, column);
    }
    if (atMs > this.lastAtMs || this.#times.length === 0) this.#addRow(atMs);
    column[column.length - 1] = value;
    return true;
  }

  /** @param {string} name @returns {number | undefined} */
  latest(name) {
    return this.#columns.get(name)?.findLast((value) => value !== null) ?? undefined;
  }

  /** The times and the columns in this order. @param {readonly string[]} names */
  data(names) {
    return [this.#times, ...names.map((name) => this.#columns.get(name) ?? [])];
  }

  /** @param {number} atMs */
  #addRow(atMs) {
    const columns = [this.#times, ...this.#columns.values()];
    this.#times.push(atMs);
    for (const column of this.#columns.values()) column.push(null);
    if (this.#times.length <= this.maxRows) return;
    for (const column of columns) column.shift();
  }
}
