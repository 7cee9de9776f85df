import { ConfigModule } from '@nestjs/config';
import { type Environment, validateEnvironment } from './environment.js';

/**
 * The process environment, and beneath it the file `.env` of the working directory. The former is left as it was, so that a
 * worker that starts later reads the file anew. Rejects with EnvironmentError.
 */
export async function readEnvironment(): Promise<Environment> {
  const own = new Set(Object.keys(process.env));
  await ConfigModule.forRoot();
  const environment = validateEnvironment(process.env);
  for (const name of Object.keys(process.env)) if (!own.has(name)) delete process.env[name];
  return environment;
}
