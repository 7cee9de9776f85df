import base from '../../jest.config.js';

/** @type {import('jest').Config} */
export default {
  ...base,
  rootDir: '../..',
  roots: ['<rootDir>/test/soak'],
  testRegex: '\\.soak\\.ts$',
  maxWorkers: 1,
  testTimeout: 600_000,
};
