// `node --import ./test/support/typescript.register.js file.ts` runs TypeScript of this project without a build.
import { register } from 'node:module';

register('./typescript.hooks.js', import.meta.url);
