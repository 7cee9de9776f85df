/** An application on the platform that is named on its command line: pushes a datum again and again, and tells its health. */
export const MAIN = `
import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { PushModule, PushService } from 'nestjs-push-gateway';
import { PushHealthIndicator } from 'nestjs-push-gateway/terminus';

@Controller('health')
class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly push: PushHealthIndicator,
  ) {}

  @Get()
  @HealthCheck()
  check() {
    return this.health.check([() => this.push.isHealthy('push')]);
  }
}

@Module({
  imports: [PushModule.forRoot({ alarmLogPath: '' }), TerminusModule],
  controllers: [HealthController],
  providers: [PushHealthIndicator],
})
class AppModule {}

async function start(platform: string | undefined): Promise<void> {
  const settings = { logger: false } as const;
  const app =
    platform === 'fastify'
      ? await NestFactory.create(AppModule, new FastifyAdapter(), settings)
      : await NestFactory.create(AppModule, settings);
  app.enableShutdownHooks();
  await app.listen(0, '127.0.0.1');
  console.log(\`listening on \${await app.getUrl()}\`);
  const push = app.get(PushService);
  setInterval(() => push.pushRawData({ businessType: 'meter', businessId: 'm-7', value: 42 }), 20);
}

void start(process.argv[2]);
`;

/** Prints what each entry of the library exports, imported as the application's modules are, and by import(). */
export function entriesOf(entries: readonly string[]): string {
  const imports = entries.map((entry, index) => `import * as entry${index} from '${entry}';`);
  const rows = entries.map((entry, index) => `['${entry}', Object.keys(entry${index}), await import('${entry}')],`);
  return `
${imports.join('\n')}

async function print(): Promise<void> {
  const entries: [string, string[], object][] = [
    ${rows.join('\n    ')}
  ];
  const sorted = entries.map(([name, imported, loaded]) => {
    const same = Object.keys(loaded).filter((key) => key !== 'module.exports' && key !== '__esModule' && key !== 'default');
    return [name, imported.filter((key) => key !== '__esModule' && key !== 'default').sort(), same.sort()];
  });
  console.log(JSON.stringify(sorted));
}

void print();
`;
}
