import { openApiDocument } from '../../src/app/docs/openapi.document.js';
import { validateEnvironment } from '../../src/app/environment.js';
import { type JsonObject, objectIn, resolved } from './json-schema.js';

/** Of a node that has everything on. */
export const WITH_ALL = { PUSH_DEMO: 'true', PUSH_DOCS: 'true' };

/** As it is served. */
export const openApi = JSON.parse(JSON.stringify(openApiDocument(validateEnvironment(WITH_ALL)))) as JsonObject;

export interface Documented {
  readonly method: string;
  readonly path: string;
  readonly operationId: string;
  readonly operation: JsonObject;
  /** By status, and `default`. */
  readonly answers: JsonObject;
}

export const operations: readonly Documented[] = Object.entries(objectIn(openApi['paths'])).flatMap(([path, methods]) =>
  Object.entries(objectIn(methods)).map(([method, value]) => {
    const operation = objectIn(value);
    const answers = objectIn(resolved(openApi, operation['responses'] ?? {}));
    return { method: method.toUpperCase(), path, operationId: String(operation['operationId']), operation, answers };
  }),
);
