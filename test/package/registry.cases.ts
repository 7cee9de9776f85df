import { spawnSync } from 'node:child_process';
import { describe } from '@jest/globals';
import { MAIN } from './application.sources.js';
import { applicationsOf, pushesADatum } from './applications.cases.js';
import { FreshApplication, MODULES } from './fresh.application.js';
import type { PackedLibrary } from './packed.library.js';

/** What `nest new` installs, as far as it matters here, and what README.md says beside the library. */
const packagesOf = (major: number) => [
  ...['common', 'core', 'platform-express', 'platform-fastify', 'terminus'].map((name) => `@nestjs/${name}@${major}`),
  ...['websockets', 'platform-ws'].map((name) => `@nestjs/${name}@${major}`),
  'reflect-metadata@0.2',
  'rxjs@7',
  '@types/node@20',
];

function isRegistryThere(): boolean {
  return spawnSync('npm', ['ping', '--fetch-retries=0', '--fetch-timeout=5000']).status === 0;
}

const isThere = process.env['CI'] === 'true' || isRegistryThere();
if (!isThere)
  process.stderr.write('\n!!! npm has no registry: NOT INSTALLED FROM THERE, NOT TRIED WITH NESTJS 11 !!!\n\n');

/** The proven peers, as the registry has them today. */
export function registryCases(libraryOf: () => PackedLibrary): void {
  const make = async (type: 'module' | 'commonjs', major: number) => {
    const application = await FreshApplication.create(type, { 'src/main.ts': MAIN });
    await application.installFromRegistry([...packagesOf(major), libraryOf().tarball]);
    return application;
  };

  (isThere ? describe : describe.skip)('from the registry', () => {
    const applicationOf = applicationsOf({
      'NestJS 11, CommonJS': async () => (await make('commonjs', 11)).compile(MODULES.commonJs),
      'NestJS 12, ES modules': async () => (await make('module', 12)).compile(MODULES.esm),
    });

    describe.each(['NestJS 11, CommonJS', 'NestJS 12, ES modules'] as const)('%s', (name) => {
      pushesADatum(() => applicationOf(name));
    });
  });
}
