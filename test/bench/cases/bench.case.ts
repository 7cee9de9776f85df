import type { CaseReport } from '../report.js';
import type { Settings } from '../settings.js';

export interface BenchCase {
  readonly name: string;
  readonly title: string;
  run(settings: Settings): Promise<CaseReport>;
}
