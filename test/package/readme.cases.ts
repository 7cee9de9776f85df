import { afterEach, expect, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { freePort } from '../support/free.port.js';
import { launchChromium } from '../support/chromium.js';
import { describeWith } from '../support/programs.js';
import { applicationsOf } from './applications.cases.js';
import { FreshApplication, MODULES } from './fresh.application.js';
import type { PackedLibrary } from './packed.library.js';
import { type Change, Readme } from './readme.js';

const MAX_ADDED_LINES = 5;
const PACKAGES = ['@types/node', '@nestjs/platform-express'];
const TEST_PACKAGES = ['@jest/globals', '@nestjs/testing', '@swc/core', '@swc/jest', 'jest'];
/** What the test framework puts there. */
const GLOBALS = `
declare const test: typeof import('@jest/globals').test;
declare const expect: typeof import('@jest/globals').expect;
declare const beforeEach: typeof import('@jest/globals').beforeEach;
declare const afterEach: typeof import('@jest/globals').afterEach;
`;
/** Of one file: `path` in the folder of sources. */
const EXAMPLES = ['meter.source.ts', 'meter.source.spec.ts', 'app.e2e-spec.ts'];
const APP_MODULE = `
import { Module } from '@nestjs/common';
import { PushModule } from 'nestjs-push-gateway';
import { MeterSource } from './meter.source';

@Module({ imports: [PushModule.forRoot()], providers: [MeterSource] })
export class AppModule {}
`;

/** Does with the tarball what README.md says, word by word. */
export function readmeCases(libraryOf: () => PackedLibrary): void {
  const applicationOf = applicationsOf({
    'first datum': async () => {
      const { changes } = await Readme.read();
      const application = await FreshApplication.create('commonjs', filesOf(changes, 'before'));
      await application.installFromCheckout(libraryOf(), PACKAGES);
      await application.write(filesOf(changes, 'after'));
      // Express brings no types of its own.
      return application.compile({ ...MODULES.commonJs, skipLibCheck: true });
    },
    tests: async () => {
      const readme = await Readme.read();
      const application = await FreshApplication.create('commonjs', {
        ...Object.fromEntries(EXAMPLES.map((path) => [`src/${path}`, readme.file(path)])),
        'src/app.module.ts': APP_MODULE,
        'src/globals.d.ts': GLOBALS,
        'jest.config.js': readme.file('jest.config.js'),
      });
      await application.installFromCheckout(libraryOf(), [...PACKAGES, ...TEST_PACKAGES]);
      return application.check(MODULES.nodenext);
    },
  });

  test('the first datum takes five lines on the server and five in the page', async () => {
    const { changes } = await Readme.read();
    const added = (isMeant: (path: string) => boolean) =>
      changes.filter(({ path }) => isMeant(path)).flatMap((change) => change.added).length;
    expect(changes.map(({ path }) => path)).toEqual(['src/app.module.ts', 'src/main.ts', 'public/index.html']);
    expect(added((path) => path.startsWith('src/'))).toBeLessThanOrEqual(MAX_ADDED_LINES);
    expect(added((path) => path.startsWith('public/'))).toBeLessThanOrEqual(MAX_ADDED_LINES);
  });

  describeWith('chromium', 'in a browser', () => {
    let browser: Browser | undefined;

    afterEach(() => browser?.close());

    test('the page shows the first datum, and the next', async () => {
      const url = await applicationOf('first datum').startOn(await freePort(), 'dist/main.js');
      browser = await launchChromium();
      const page = await browser.newPage();
      const complaints: string[] = [];
      page.on('pageerror', (error) => complaints.push(String(error.stack)));
      await page.goto(url);
      const shown = page.locator('output', { hasText: /^0\.\d+$/ });
      const first = await shown.textContent();
      await page.locator('output', { hasNotText: first ?? '' }).waitFor();
      expect(complaints).toEqual([]);
    }, 120_000);
  });

  test('its tests of an application compile, and pass in a jest of CommonJS', async () => {
    const printed = await applicationOf('tests').output('node_modules/jest/bin/jest.js', ['--json', '--silent']);
    expect(JSON.parse(printed)).toMatchObject({ numPassedTests: 3, numTotalTests: 3 });
  }, 120_000);
}

function filesOf(changes: readonly Change[], state: 'before' | 'after'): Record<string, string> {
  return Object.fromEntries(changes.map((change) => [change.path, change[state]]));
}
