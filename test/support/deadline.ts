export { DEADLINE_MS, turn, until, within } from '../../src/testing/deadline.js';
