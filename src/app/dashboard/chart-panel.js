import uPlot from './uPlot.esm.js';
import { byId, element, formatBytes, formatClock, formatValue } from './format.js';
import { TimeTable } from './time-table.js';

const MAX_ROWS = 600;
const MAX_SERIES = 24;
const HEIGHT_PX = 168;
const BYTE_STEPS = Array.from({ length: 44 }, (_, power) => 2 ** power);

/**
 * @typedef {object} PanelDefinition
 * @property {string} title
 * @property {string} unit
 * @property {(series: string) => string} label
 * @property {(series: string) => boolean} [isMain] drawn strong, with its area filled
 * @property {(series: string) => boolean} [isDrawn] others are kept for the headline only
 * @property {(maximum: number, table: TimeTable) => number} top upper end of the scale
 * @property {(table: TimeTable) => number[]} [splits] where the scale has its marks
 * @property {(table: TimeTable) => string} headline current value
 */

/** One live chart with its title, current value and legend. */
export class ChartPanel {
  /** @type {uPlot | undefined} */ #plot;
  /** @type {string[]} */ #drawn = [];
  /** @type {HTMLElement[]} */ #legendValues = [];
  table = new TimeTable(MAX_ROWS, MAX_SERIES);

  /** @param {PanelDefinition} definition @param {{ chart: HTMLElement, legend: HTMLElement, current: HTMLElement }} places */
  constructor(definition, places) {
    this.definition = definition;
    this.places = places;
    new ResizeObserver(() => this.#plot?.setSize({ width: this.#width, height: HEIGHT_PX })).observe(places.chart);
  }

  /** A panel with an element of its own. @param {PanelDefinition & { id: string, isWide?: boolean }} definition @param {HTMLElement} parent */
  static append(definition, parent) {
    const card = element('article', definition.isWide === true ? 'card chart wide' : 'card chart');
    card.id = `chart-${definition.id}`;
    const head = element('div', 'card-head');
    const current = element('output', 'current', '–');
    const title = element('h3', '', definition.title);
    title.id = `chart-${definition.id}-title`;
    card.setAttribute('aria-labelledby', title.id);
    current.setAttribute('aria-live', 'off');
    head.append(title, current);
    const chart = element('div', 'plot');
    const legend = element('ul', 'legend');
    card.append(head, chart, legend);
    parent.append(card);
    return new ChartPanel(definition, { chart, legend, current });
  }

  get #width() {
    return Math.max(120, this.places.chart.clientWidth);
  }

  /** Draws what the table holds now. @param {number} windowMs */
  render(windowMs) {
    const { isDrawn = () => true } = this.definition;
    const names = this.table.names.filter(isDrawn);
    if (this.#plot === undefined || names.join('\0') !== this.#drawn.join('\0')) this.#rebuild(names);
    const untilMs = this.table.lastAtMs;
    this.#plot?.batch(() => {
      this.#plot?.setData(this.table.data(this.#drawn), false);
      this.#plot?.setScale('x', { min: untilMs - windowMs, max: untilMs });
    });
    this.places.current.textContent = this.definition.headline(this.table);
    this.#showValues(this.#plot?.cursor.idx ?? undefined);
  }

  /** After a change of colours. */
  restyle() {
    this.#rebuild(this.#drawn);
  }

  /** @param {readonly string[]} names */
  #rebuild(names) {
    this.#plot?.destroy();
    this.#drawn = [...names];
    const style = getComputedStyle(document.documentElement);
    const color = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const { label, isMain = () => names.length <= 2 } = this.definition;
    const strokes = this.#drawn.map((name, index) =>
      color(isMain(name) ? `--series-${index % 2}` : `--series-${(index % 6) + 2}`),
    );
    const series = this.#drawn.map((name, index) => ({
      label: label(name),
      stroke: strokes[index],
      width: isMain(name) ? 2 : 1.25,
      fill: isMain(name) ? `${strokes[index]}1f` : undefined,
      points: { show: false },
      spanGaps: true,
    }));
    this.#plot = new uPlot(
      { ...this.#frame(color), width: this.#width, height: HEIGHT_PX, series: [{}, ...series] },
      this.table.data(this.#drawn),
      this.places.chart,
    );
    this.#buildLegend(strokes);
  }

  /** Axes, scales and cursor. @param {(name: string) => string} color */
  #frame(color) {
    const { unit, top, splits } = this.definition;
    const axis = {
      stroke: color('--muted'),
      font: '11px system-ui, sans-serif',
      ticks: { show: false },
      grid: { stroke: color('--grid'), width: 1 },
    };
    const isBytes = unit.startsWith('B');
    return {
      ms: 1,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      hooks: { setCursor: [(/** @type {uPlot} */ plot) => this.#showValues(plot.cursor.idx ?? undefined)] },
      scales: { x: { time: true }, y: { range: (_plot, _min, max) => [0, top(max ?? 0, this.table)] } },
      axes: [
        {
          ...axis,
          size: 26,
          space: 84,
          grid: { show: false },
          values: (_plot, marks) => marks.map((at) => formatClock(at)),
        },
        {
          ...axis,
          size: isBytes ? 62 : 44,
          space: 32,
          ...(splits === undefined ? {} : { splits: () => splits(this.table) }),
          ...(isBytes ? { incrs: BYTE_STEPS } : {}),
          values: (_plot, marks) =>
            marks.map((value) => (isBytes ? formatBytes(value) : formatValue(value, '').slice(0, 6))),
        },
      ],
    };
  }

  /** @param {readonly string[]} strokes */
  #buildLegend(strokes) {
    this.#legendValues = this.#drawn.map(() => element('span', 'value'));
    const entries = this.#drawn.map((name, index) => {
      const entry = element('li', '');
      const swatch = element('span', 'swatch');
      swatch.style.background = strokes[index] ?? '';
      entry.append(swatch, element('span', 'name', this.definition.label(name)), this.#legendValues[index] ?? '');
      return entry;
    });
    this.places.legend.replaceChildren(...entries);
  }

  /** The values under the cursor, else the latest. @param {number | undefined} row */
  #showValues(row) {
    const [, ...columns] = this.table.data(this.#drawn);
    this.#drawn.forEach((name, index) => {
      const value = row === undefined ? this.table.latest(name) : columns[index]?.[row];
      const place = this.#legendValues[index];
      if (place !== undefined) place.textContent = formatValue(value, this.definition.unit);
    });
  }
}

/** The panel for what the form pushes; its places stand in the page. @param {PanelDefinition} definition */
export function customPanel(definition) {
  const legend = element('ul', 'legend');
  const chart = element('div', 'plot');
  byId('custom-chart').append(chart, legend);
  return new ChartPanel(definition, { chart, legend, current: byId('custom-current') });
}
