import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { PushModuleOptions } from './push.options.js';

export const {
  ConfigurableModuleClass,
  MODULE_OPTIONS_TOKEN: PUSH_MODULE_OPTIONS,
  OPTIONS_TYPE,
  ASYNC_OPTIONS_TYPE,
} = new ConfigurableModuleBuilder<PushModuleOptions>({ moduleName: 'Push' })
  // Feature modules inject PushService without importing anything.
  .setExtras({ isGlobal: true }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal }))
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createPushOptions')
  .build();
