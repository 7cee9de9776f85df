import { ConfigModule } from '@nestjs/config';
import { type Environment, validateEnvironment } from './environment.js';

/** The process environment, and beneath it the file `.env` of the working directory. Rejects with EnvironmentError. */
export async function readEnvironment(): Promise<Environment> {
  await ConfigModule.forRoot();
  return validateEnvironment(process.env);
}
