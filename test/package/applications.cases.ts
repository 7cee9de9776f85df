import { beforeAll, describe, expect, test } from '@jest/globals';
import { connectTestClient } from '../../src/testing/index.js';
import { PLATFORMS } from '../support/gateway.fixture.js';
import { entriesOf, MAIN } from './application.sources.js';
import { FreshApplication, MODULES } from './fresh.application.js';
import type { PackedLibrary } from './packed.library.js';

/** What an application has installed besides what the library needs. */
const PACKAGES = ['@types/node', '@nestjs/platform-express', '@nestjs/platform-fastify', '@nestjs/terminus'];
/** Its types are those of `nestjs-push-gateway/redis` too. */
const REDIS = 'redis';
const DATUM = { businessType: 'meter', businessId: 'm-7', value: 42 };

/** Makes applications side by side, since installing and compiling take time; gives them by their names. */
export function applicationsOf<N extends string>(
  makers: Readonly<Record<N, () => Promise<FreshApplication>>>,
): (name: N) => FreshApplication {
  const made = new Map<string, FreshApplication>();

  beforeAll(async () => {
    const entries = Object.entries<() => Promise<FreshApplication>>(makers);
    await Promise.all(entries.map(async ([name, make]) => made.set(name, await make())));
  }, 240_000);

  return (name) => {
    const application = made.get(name);
    if (application === undefined) throw new Error(`${name} was not made`);
    return application;
  };
}

/** A client gets what the application pushes, and its health check knows the gateway, on both platforms. */
export function pushesADatum(applicationOf: () => FreshApplication): void {
  test.each(PLATFORMS)('on %s a client gets what is pushed, and the node is healthy', async (platform) => {
    const url = await applicationOf().start('dist/main.js', [platform]);
    const client = await connectTestClient(url, '/ws/rowdata/meter/m-7/ann');
    expect((await client.nextEvent('rawData')).data).toEqual(DATUM);
    await client.close();
    const health = await fetch(`${url}/health`);
    expect(await health.json()).toMatchObject({ status: 'ok', details: { push: { status: 'up', phase: 'serving' } } });
  });
}

const entryNames = ({ manifest }: PackedLibrary) =>
  Object.keys(manifest.exports)
    .filter((entry) => entry !== './package.json')
    .map((entry) => manifest.name + entry.slice(1));

export function applicationsCases(libraryOf: () => PackedLibrary): void {
  const make = async (type: 'module' | 'commonjs') => {
    const sources = { 'src/main.ts': MAIN, 'src/entries.ts': entriesOf(entryNames(libraryOf())) };
    const application = await FreshApplication.create(type, sources);
    await application.installFromCheckout(libraryOf(), [...PACKAGES, REDIS]);
    return application;
  };
  const applicationOf = applicationsOf({
    'ES modules': async () => (await make('module')).compile(MODULES.esm),
    CommonJS: async () => (await make('commonjs')).compile(MODULES.commonJs),
    'CommonJS, checked by nodenext': async () => (await make('commonjs')).check(MODULES.nodenext),
  });

  describe.each(['ES modules', 'CommonJS'] as const)('%s', (name) => {
    pushesADatum(() => applicationOf(name));

    test('every entry is imported, without redis, jose and OpenTelemetry', async () => {
      await applicationOf(name).uninstall(REDIS);
      const printed = JSON.parse(await applicationOf(name).output('dist/entries.js')) as [string, string[], string[]][];
      expect(printed.map(([entry]) => entry)).toEqual(entryNames(libraryOf()));
      for (const [, imported, loaded] of printed) {
        expect(imported.length).toBeGreaterThan(0);
        expect(loaded).toEqual(imported);
      }
    });
  });

  test('CommonJS: its types are found by nodenext too', () => {
    expect(applicationOf('CommonJS, checked by nodenext')).toBeInstanceOf(FreshApplication);
  });
}
