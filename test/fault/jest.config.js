import base from '../../jest.config.js';

/** @type {import('jest').Config} */
export default {
  ...base,
  rootDir: '../..',
  roots: ['<rootDir>/test/fault'],
  testRegex: '\\.fault\\.ts$',
  // Each has processes of its own that need the machine.
  maxWorkers: 1,
  testTimeout: 480_000,
};
