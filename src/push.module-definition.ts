import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { PushModuleOptions } from './push.options.js';

export const {
  ConfigurableModuleClass,
  MODULE_OPTIONS_TOKEN: PUSH_MODULE_OPTIONS,
  OPTIONS_TYPE,
  ASYNC_OPTIONS_TYPE,
} = new ConfigurableModuleBuilder<PushModuleOptions>({ moduleName: 'Push' })
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createPushOptions')
  .build();
