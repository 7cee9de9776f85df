import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface DashboardAsset {
  readonly contentType: string;
  readonly text: string;
}

const PAGE_DIRECTORY = fileURLToPath(new URL('../dashboard', import.meta.url));
const PAGE_FILES = [
  'dashboard.css',
  'dashboard.js',
  'alarm-list.js',
  'alarm-store.js',
  'chart-panel.js',
  'chart-panels.js',
  'examples.js',
  'format.js',
  'push-form.js',
  'time-table.js',
  'favicon.svg',
];
const UPLOT_FILES = ['uPlot.esm.js', 'uPlot.min.css'];

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

/**
 * The files of the dashboard by name, and the modules of the client library that it uses by their path: read once, and only
 * these, so no path of a request reaches the disk.
 */
export function readDashboardAssets(clientModules: ReadonlyMap<string, string>): ReadonlyMap<string, DashboardAsset> {
  const uplotDirectory = join(dirname(createRequire(import.meta.url).resolve('uplot/package.json')), 'dist');
  return new Map([
    ...['index.html', ...PAGE_FILES].map((name) => readAsset(PAGE_DIRECTORY, name)),
    ...UPLOT_FILES.map((name) => readAsset(uplotDirectory, name)),
    ...[...clientModules].map(([path, text]) => asset(path, text)),
  ]);
}

function readAsset(directory: string, name: string): [string, DashboardAsset] {
  return asset(name, readFileSync(join(directory, name), 'utf8'));
}

function asset(name: string, text: string): [string, DashboardAsset] {
  const contentType = CONTENT_TYPES[name.split('.').at(-1) ?? ''] ?? 'text/plain; charset=utf-8';
  return [name, { contentType, text }];
}
