import { ChartPanel } from './chart-panel.js';
import { formatBytes, formatValue } from './format.js';

/** @typedef {import('./time-table.js').TimeTable} TimeTable */

/** Room above the highest value, and never a scale of nothing. @param {number} least */
const atLeast = (least) => (/** @type {number} */ maximum) => Math.max(least, maximum * 1.15);

/** @param {TimeTable} table @param {RegExp} pattern */
function sum(table, pattern) {
  const names = table.names.filter((name) => pattern.test(name));
  return names.length === 0 ? undefined : names.reduce((total, name) => total + (table.latest(name) ?? 0), 0);
}

/** @param {string} first @param {RegExp} firstPattern @param {string} second @param {RegExp} secondPattern */
const twoRates = (first, firstPattern, second, secondPattern) => (/** @type {TimeTable} */ table) => {
  const show = (/** @type {RegExp} */ pattern) => formatValue(sum(table, pattern), 'B/s');
  return table.names.length === 0 ? '–' : `${first} ${show(firstPattern)}  ${second} ${show(secondPattern)}`;
};

const DEFINITIONS = [
  {
    id: 'cpu',
    title: 'CPU',
    unit: '%',
    isWide: true,
    accepts: /^cpu\./,
    label: (series) => (series === 'cpu.total' ? 'total' : series.replace('cpu.', 'core ')),
    isMain: (series) => series === 'cpu.total',
    top: () => 100,
    headline: (table) => formatValue(table.latest('cpu.total'), '%'),
  },
  {
    id: 'memory',
    title: 'Memory',
    unit: 'B',
    accepts: /^memory\./,
    label: (series) => series.replace('memory.', ''),
    isDrawn: (series) => series === 'memory.used',
    top: (maximum, table) => table.latest('memory.total') ?? atLeast(1024)(maximum),
    splits: (table) => [0, 0.25, 0.5, 0.75, 1].map((share) => share * (table.latest('memory.total') ?? 1024)),
    headline: (table) => {
      const used = table.latest('memory.used');
      const total = table.latest('memory.total');
      return used === undefined || total === undefined ? '–' : `${formatBytes(used)} of ${formatBytes(total)}`;
    },
  },
  {
    id: 'load',
    title: 'Load',
    unit: '',
    accepts: /^load\./,
    label: (series) => series.replace('load.', '').replace('m', ' min'),
    isMain: (series) => series === 'load.1m',
    top: atLeast(1),
    headline: (table) => formatValue(table.latest('load.1m'), ''),
  },
  {
    id: 'network',
    title: 'Network',
    unit: 'B/s',
    accepts: /^network\..+\.(rx|tx)$/,
    label: (series) =>
      series.replace(/^network\.(.+)\.(rx|tx)$/, (_, name, way) => `${name} ${way === 'rx' ? 'in' : 'out'}`),
    top: atLeast(1024),
    headline: twoRates('↓', /\.rx$/, '↑', /\.tx$/),
  },
  {
    id: 'disk',
    title: 'Disk',
    unit: 'B/s',
    accepts: /^disk\.(read|write)$/,
    label: (series) => series.replace('disk.', ''),
    top: atLeast(1024),
    headline: twoRates('read', /read$/, 'write', /write$/),
  },
];

/** The charts of this machine. */
export class HostCharts {
  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.panels = DEFINITIONS.map((definition) => ({
      accepts: definition.accepts,
      panel: ChartPanel.append(definition, parent),
    }));
  }

  /** @param {string} series @param {number} atMs @param {number} value */
  add(series, atMs, value) {
    this.panels.find(({ accepts }) => accepts.test(series))?.panel.table.set(series, atMs, value);
  }

  /** @param {number} windowMs */
  render(windowMs) {
    for (const { panel } of this.panels) panel.render(windowMs);
  }

  restyle() {
    for (const { panel } of this.panels) panel.restyle();
  }
}
