import type { WorkerTexts } from './metrics/merged.exposition.js';

/** Variable that numbers the worker, from 1; set by the primary process. */
export const WORKER_NUMBER = 'PUSH_WORKER';

/**
 * What the primary process tells a worker. `retire`: another one has taken over. `runTelemetry`: the demo's telemetry is its.
 * `tellMetrics`: its own are asked for. `metricsOfAll`: what it asked for.
 */
export type WorkerOrder =
  | { readonly kind: 'retire' }
  | { readonly kind: 'runTelemetry' }
  | { readonly kind: 'tellMetrics'; readonly n: number }
  | { readonly kind: 'metricsOfAll'; readonly n: number; readonly texts: WorkerTexts };

/** What a worker tells the primary process; answers carry the number of the question. */
export type WorkerReport =
  | { readonly kind: 'askMetricsOfAll'; readonly n: number }
  | { readonly kind: 'ownMetrics'; readonly n: number; readonly text: string | null };
