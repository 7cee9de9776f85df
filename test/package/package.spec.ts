import { afterAll, beforeAll, describe } from '@jest/globals';
import { applicationsCases } from './applications.cases.js';
import { contentsCases } from './contents.cases.js';
import { FreshApplication } from './fresh.application.js';
import { PackedLibrary } from './packed.library.js';
import { readmeCases } from './readme.cases.js';
import { registryCases } from './registry.cases.js';

// One build for all: it takes longer than most that is tried with it.
let library: PackedLibrary;

beforeAll(async () => {
  library = await PackedLibrary.pack();
}, 180_000);

afterAll(() => Promise.all([PackedLibrary.removeAll(), FreshApplication.removeAll()]));

describe('what is packed', () => {
  contentsCases(() => library);
});

describe('README.md', () => {
  readmeCases(() => library);
});

describe('installed', () => {
  applicationsCases(() => library);
  registryCases(() => library);
});
