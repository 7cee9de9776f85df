import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Environment } from '../environment.js';
import { type HeaderResponse, setPageHeaders } from '../http/page.headers.js';
import { openApiDocument } from './openapi.document.js';

/** The page brings styles along and draws its arrows as data; scripts are files of this server. */
const OF_SWAGGER_UI = { 'style-src': "'unsafe-inline'", 'img-src': 'data:' };

/** The HTTP routes of the node: as a page to try them at `/docs`, as OpenAPI at `/docs-json`. Before the application listens. */
export async function serveDocs(app: NestExpressApplication, environment: Environment): Promise<void> {
  // Loaded here only: it takes as long as half of Nest, and 13 MB.
  const { SwaggerModule } = await import('@nestjs/swagger');
  app.use(['/docs', '/docs-json'], (_request: unknown, response: HeaderResponse, next: () => void) => {
    setPageHeaders(response, OF_SWAGGER_UI);
    next();
  });
  SwaggerModule.setup('docs', app, openApiDocument(environment), {
    raw: ['json'],
    customSiteTitle: 'Push gateway',
    swaggerOptions: { tryItOutEnabled: true, validatorUrl: null },
  });
}
