import { expect, test } from '@jest/globals';
import { mergeExpositions } from '../../src/app/metrics/merged.exposition.js';
import { NodeMetrics } from '../../src/app/metrics/node.metrics.js';
import { parseExposition, valueOf } from '../support/prometheus.js';

const UP = [
  '# HELP push_worker_up Whether the metrics of this worker are here: 1, else 0; it does not run, or did not answer in time',
  '# TYPE push_worker_up gauge',
];

/** The lines behind what the merge says itself. */
function merged(...texts: (string | null)[]): string[] {
  const lines = mergeExpositions(texts).split('\n');
  expect(lines.slice(0, 2)).toEqual(UP);
  expect(lines.at(-1)).toBe('');
  return lines.slice(2 + texts.length, -1);
}

const twoMetrics = (n: number) =>
  `# HELP a_total First\n# UNIT a_total 1\n# TYPE a_total counter\na_total ${n}\n# TYPE b gauge\nb{x="1"} ${n}\nb{x="2"} ${n}\n`;

test('each sample gets the number of its worker, and each metric one header', () => {
  expect(merged(twoMetrics(1), twoMetrics(2))).toEqual([
    '# HELP a_total First',
    '# UNIT a_total 1',
    '# TYPE a_total counter',
    'a_total{worker="1"} 1',
    'a_total{worker="2"} 2',
    '# TYPE b gauge',
    'b{worker="1",x="1"} 1',
    'b{worker="1",x="2"} 1',
    'b{worker="2",x="1"} 2',
    'b{worker="2",x="2"} 2',
  ]);
});

test('who answered is told, and who did not is left out', () => {
  expect(mergeExpositions([null, '# TYPE a gauge\na 1\n', null])).toBe(
    `${UP.join('\n')}\npush_worker_up{worker="1"} 0\npush_worker_up{worker="2"} 1\npush_worker_up{worker="3"} 0\n` +
      '# TYPE a gauge\na{worker="2"} 1\n',
  );
  expect(merged(null, null)).toEqual([]);
});

test('what only some have, and what others have in another order, stands together', () => {
  const a = '# TYPE a gauge\na 1\n';
  const b = '# HELP b Second\n# TYPE b gauge\nb 1\n';
  expect(merged(a, `${b}${a}`, b)).toEqual([
    '# TYPE a gauge',
    'a{worker="1"} 1',
    'a{worker="2"} 1',
    '# HELP b Second',
    '# TYPE b gauge',
    'b{worker="2"} 1',
    'b{worker="3"} 1',
  ]);
});

test('the parts of a histogram stay with it', () => {
  const text = '# TYPE h histogram\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n';
  expect(merged(text, text)).toEqual([
    '# TYPE h histogram',
    'h_bucket{worker="1",le="+Inf"} 2',
    'h_sum{worker="1"} 3',
    'h_count{worker="1"} 2',
    'h_bucket{worker="2",le="+Inf"} 2',
    'h_sum{worker="2"} 3',
    'h_count{worker="2"} 2',
  ]);
});

test.each([
  [
    'a brace, a quote, a backslash and a line break',
    'a{x="} 1 \\" \\\\ \\n # TYPE a"} 1',
    'a{worker="1",x="} 1 \\" \\\\ \\n # TYPE a"} 1',
  ],
  ['what a replacement would take for its own', 'a{x="$1$&"} 1', 'a{worker="1",x="$1$&"} 1'],
  ['no label in its braces', 'a{} 1', 'a{worker="1"} 1'],
  ['a time stamp', 'a 1 1700000000000', 'a{worker="1"} 1 1700000000000'],
  ['a number of its own kind', 'a NaN', 'a{worker="1"} NaN'],
  ['a colon in its name', 'a:b_c 1', 'a:b_c{worker="1"} 1'],
])('a sample with %s keeps it', (_, sample, expected) => {
  expect(merged(`# TYPE a gauge\n${sample}\n`)).toEqual(['# TYPE a gauge', expected]);
});

test('comments and empty lines are no samples', () => {
  expect(merged('# no registered metrics\n\n# TYPE a gauge\n# why not\na 1\n\n')).toEqual([
    '# TYPE a gauge',
    'a{worker="1"} 1',
  ]);
});

test('what OpenTelemetry writes of several workers is what Prometheus takes', async () => {
  const texts = await Promise.all(
    [1, 2].map(async (n) => {
      const metrics = new NodeMetrics();
      const histogram = metrics.meter.createHistogram('t.duration', {
        description: 'in\nlines \\ "quoted"',
        unit: 's',
      });
      for (let i = 0; i < n; i++) histogram.record(1, { path: 'a"b\\c\nd}' });
      return metrics.text();
    }),
  );
  const exposition = parseExposition(mergeExpositions(texts));
  for (const n of [1, 2]) {
    expect(valueOf(exposition, 't_duration_count', { worker: String(n) })).toBe(n);
    expect(valueOf(exposition, 'process_memory_usage', { worker: String(n) })).toBeGreaterThan(0);
  }
  expect(exposition.samples.filter(({ labels }) => labels['worker'] === undefined)).toEqual([]);
});
