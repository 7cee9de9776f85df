import { type CaseReport, verdictOf } from './report.js';

/** The report as text: the table, the bars, the notes. */
export function formatReport({ rows, bars, notes }: CaseReport): string {
  const columns = [...new Set(rows.flatMap(({ values }) => Object.keys(values)))];
  const lines = [
    ['', ...columns],
    ...rows.map(({ contender, values }) => [contender, ...columns.map((column) => formatValue(values[column]))]),
  ];
  const verdicts = bars.map((bar) => [
    verdictOf(bar),
    bar.what,
    bar.measured === undefined ? '' : `${formatValue(bar.measured)}${bar.unit}`,
    `(${bar.bound} ${formatValue(bar.limit)}${bar.unit})`,
  ]);
  return [...align(lines, 'right'), '', ...align(verdicts, 'left'), ...notes.map((note) => `note: ${note}`), ''].join(
    '\n',
  );
}

export function formatValue(value: number | string | undefined): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return value;
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return value.toFixed(size >= 10 ? 1 : size >= 0.1 ? 2 : 3);
}

/** The first column to the left, the others as told. */
function align(lines: readonly (readonly string[])[], others: 'left' | 'right'): string[] {
  const widths: number[] = [];
  for (const line of lines) line.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return lines.map((line) =>
    line
      .map((cell, i) => (i === 0 || others === 'left' ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
