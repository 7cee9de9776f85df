import { describe, expect, test } from '@jest/globals';
import { openApiDocument } from '../../src/app/docs/openapi.document.js';
import { validateEnvironment } from '../../src/app/environment.js';
import { PushOptions } from '../../src/push.options.js';
import { startNode, type TestNode } from '../app/node.fixture.js';
import { faultsOf, resolved } from '../support/json-schema.js';
import { openApi, WITH_ALL } from '../support/openapi.js';
import { TEST_SECRET } from '../support/tokens.js';

const DATUM = { businessType: 'meter', businessId: 'm-7', series: 'kw', value: 21.5 };
const ALARM = { businessId: 'm-7', severity: 700 };

/** `METHOD /path` of all that is mounted on the node's HTTP server, with parameters as OpenAPI writes them. */
function routesOf({ app }: TestNode): string[] {
  interface Layer {
    readonly route?: { readonly path: string; readonly methods: Readonly<Record<string, boolean>> };
  }
  const { router } = app.getHttpAdapter().getInstance() as { router: { stack: Layer[] } };
  const routes = router.stack.flatMap(({ route }) =>
    Object.keys(route?.methods ?? {}).map((method) => `${method.toUpperCase()} ${route?.path}`),
  );
  return routes.map((route) => route.replaceAll(/:(\w+)/g, '{$1}')).toSorted();
}

/** The same of the document. */
function routesNamed(variables: Readonly<Record<string, string>>): string[] {
  return Object.entries(openApiDocument(validateEnvironment(variables)).paths)
    .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`))
    .toSorted();
}

function takes(name: string, value: unknown): boolean {
  return faultsOf(resolved(openApi, { $ref: `#/components/schemas/${name}` }), value).length === 0;
}

test.each([WITH_ALL, { PUSH_DEMO: 'false', PUSH_DOCS: 'true' }])(
  'the document names every route of a node with %j, and no other',
  async (variables) => {
    const { rawDataPath, alarmPath } = new PushOptions();
    const ofGateways = [rawDataPath, alarmPath].map((path) => `GET ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
    const ofNode = routesOf(await startNode(variables));
    const ofDocs = ofNode.filter((route) => /^GET \/docs\b/.test(route));
    expect(ofDocs).toContain('GET /docs-json');
    expect(routesNamed(variables)).toEqual(
      [...ofNode, ...ofGateways].filter((route) => !ofDocs.includes(route)).toSorted(),
    );
  },
);

describe('its schemas say what the node takes', () => {
  test.each([
    DATUM,
    { ...DATUM, businessId: '' },
    { ...DATUM, businessId: '*' },
    { ...DATUM, businessId: 7 },
    { ...DATUM, series: 7 },
    { businessId: 'm-7' },
  ])('a raw datum: %j', async (datum) => {
    const node = await startNode();
    const { status } = await node.post('/push/raw-data', datum);
    expect(takes('RawDatum', datum)).toBe(status === 202);
  });

  test.each([
    ALARM,
    { severity: 1 },
    { severity: 1000 },
    { severity: 0 },
    { severity: 1001 },
    { severity: 1.5 },
    { eventId: 'e' },
    { eventId: '' },
    { eventId: 'e'.repeat(129) },
    { conditionId: 'c', active: false },
    { active: 1, conditionId: 'c' },
    { orgId: 'acme/plant1' },
    { orgId: '' },
    { businessType: '*' },
    { businessId: undefined },
  ])('an alarm: %j', async (fields) => {
    const node = await startNode();
    const alarm = JSON.parse(JSON.stringify({ ...ALARM, ...fields })) as object;
    const { status } = await node.post('/push/alarms', alarm);
    expect(takes('Alarm', alarm)).toBe(status === 201);
  });
});

describe('GET /docs and /docs-json', () => {
  test('the document, and a page with headers as strict as it can have them', async () => {
    const node = await startNode(WITH_ALL);
    expect((await node.send('/docs-json')).body).toEqual(openApi);
    for (const path of ['/docs', '/docs/swagger-ui-bundle.js', '/docs/swagger-ui.css', '/docs/swagger-ui-init.js']) {
      const { status, headers } = await node.send(path);
      expect({ path, status, ...headers }).toMatchObject({
        status: 200,
        'content-security-policy': expect.stringContaining("default-src 'none'; script-src 'self'; style-src"),
        'x-content-type-options': 'nosniff',
      });
    }
  });

  test.each<Record<string, string>>([
    { PUSH_DOCS: 'false' },
    { PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: TEST_SECRET, PUSH_DOCS: '' },
  ])('are off with %j', async (variables) => {
    const node = await startNode(variables);
    for (const path of ['/docs', '/docs/', '/docs-json', '/docs-yaml', '/docs/swagger-ui.css']) {
      expect(await node.send(path)).toMatchObject({ status: 404, body: { error: 'notFound' } });
    }
  });

  test('what is none of its files is answered as everywhere', async () => {
    const node = await startNode(WITH_ALL);
    for (const path of ['/docs/none', '/docs/..%2f..%2fpackage.json', '/docs/LICENSE', '/docs-yaml']) {
      expect(await node.send(path)).toMatchObject({ status: 404, body: { statusCode: 404, error: 'notFound' } });
    }
  });
});
