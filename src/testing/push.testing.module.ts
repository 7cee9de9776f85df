import { type DynamicModule, Module } from '@nestjs/common';
import { PushService } from '../push.service.js';
import { FakePushService, type FakePushServiceOptions } from './fake.push.service.js';

/**
 * In the place of PushModule, for tests of modules that push: provides a {@link FakePushService}, also as PushService, to all
 * modules. Nothing listens and nothing is stored. Modules that inject the registries are tested with the real PushModule.
 */
@Module({})
export class PushTestingModule {
  static forRoot(options: FakePushServiceOptions = {}): DynamicModule {
    return {
      module: PushTestingModule,
      global: true,
      providers: [
        { provide: FakePushService, useFactory: () => new FakePushService(options) },
        { provide: PushService, useExisting: FakePushService },
      ],
      exports: [FakePushService, PushService],
    };
  }
}
