import { expect, test } from '@jest/globals';
import type { Logger } from '@nestjs/common';
import { FaultReporter } from '../../src/registry/fault.reporter.js';

test('says once that something fails, and once that it is over', () => {
  const lines: string[] = [];
  const add = (text: string) => lines.push(text);
  const faults = new FaultReporter({ error: add, log: add } as unknown as Logger);
  faults.succeeded('read');
  for (let n = 0; n < 3; n++) faults.failed('read', new Error('away'));
  faults.failed('write', new Error('away'));
  for (let n = 0; n < 3; n++) faults.succeeded('read');
  faults.failed('read', new Error('away'));
  expect(lines).toEqual(['cannot read', 'cannot write', 'can read again', 'cannot read']);
});
