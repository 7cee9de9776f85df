import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import ts from 'typescript';
import { JwtAuthenticator } from '../src/access/jwt.authenticator.js';
import { Environment } from '../src/app/environment.js';
import { DURATION_METRICS, type MetricDefinition, OBSERVED_METRICS } from '../src/observe/metric.definitions.js';
import { REFUSAL_REASONS } from '../src/observe/metric.labels.js';
import { CloseCodes } from '../src/protocol/close-codes.js';
import { parseCursor } from '../src/protocol/cursor.js';
import { PushOptions } from '../src/push.options.js';
import { column, ROOT, section, table, textOf, unquoted, withoutComments } from './support/documents.js';
import { filesIn, membersOf, shapeOf, sourceFile, wordsOf } from './support/sources.js';

const DOCUMENTS = [
  'README.md',
  'README.zh-CN.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'docs/PROTOCOL.md',
  'docs/CLIENTS.md',
  'docs/OPERATIONS.md',
  'examples/README.md',
];

const readme = textOf('README.md');
const protocol = textOf('docs/PROTOCOL.md');
const operations = textOf('docs/OPERATIONS.md');

const sources = filesIn('src');

/** A number that is written as a product of numbers, or NaN. */
function constantOf(name: string, path: string): number {
  const [, expression = ''] = new RegExp(`^(?:export )?const ${name} = ([\\d_ *]+);`, 'm').exec(textOf(path)) ?? [];
  if (expression === '') return Number.NaN;
  return expression.split('*').reduce((all, factor) => all * Number(factor.replaceAll('_', '')), 1);
}

/** As the tables write a default; `none` where there is none. */
function written(value: unknown): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return 'none';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

/** As {@link written}, for what is text: a list stands there separated by commas. */
function writtenAsText(value: unknown): string {
  return written(Array.isArray(value) ? value.join() || undefined : value);
}

/** `401 tokenMissing`, of every refusal that is written in these sources. */
function refusalsIn(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    const text = textOf(path);
    const inObjects = [...text.matchAll(/status: (\d{3}),\s*error: '(\w+)'/g)].map(([, status, word]) => [
      status,
      word,
    ]);
    const unauthorized = [...text.matchAll(/unauthorized\('(\w+)'/g)].map(([, word]) => ['401', word]);
    const thrown = [...text.matchAll(/new AuthenticationError\(\s*'(\w+)',\s*[^;]*?(?:,\s*(\d{3}),?)?\s*\);/g)].map(
      ([, word, status = '401']) => [status, word],
    );
    return [...inObjects, ...unauthorized, ...thrown].map(([status, word]) => `${status} ${word}`);
  });
}

const TICKET_OFFICE = 'src/gateway/ticket.office.ts';
const refusalsOf = (heading: string, word: string) =>
  table(section(protocol, heading), 'status', word).map(([status, error]) => `${status} ${unquoted(error)}`);

describe('PROTOCOL.md', () => {
  test.each([
    ['### Server events', 'ServerEvents'],
    ['### Client events', 'ClientEvents'],
  ])('%s: every event of %s with the fields of its data, and no other', (heading, name) => {
    const rows = table(section(protocol, heading), 'event');
    expect(column(rows)).toEqual(membersOf(name).map((member) => member.name));
    const shapes = membersOf(name).map(({ type }) => shapeOf(type));
    expect(column(rows, 1).map((shape, index) => (shapes[index] === undefined ? undefined : shape))).toEqual(shapes);
  });

  test.each([
    ['`code` of `exception`', 'ExceptionCode'],
    ['`reason` of a refused key', 'RefusalReason'],
    ['`reason` of a gap', 'GapReason'],
  ])('%s: every word of %s', (title, name) => {
    expect(column(table(protocol, title))).toEqual(wordsOf(name));
  });

  test('every field of a subscription', () => {
    const text = section(protocol, '### Subscriptions');
    for (const { name } of [...membersOf('KeyAddress'), ...membersOf('SubscriptionRequest')]) {
      expect(text).toContain(name);
    }
  });

  test.each([
    ['MAX_REPLAY_COUNT', 'src/gateway/alarm.query.ts', '## Limits'],
    ['MAX_LOOK_BACK', 'src/registry/look-back.ts', '### Where they begin'],
    ['MAX_SILENT_OFFSETS', 'src/fan-out/alarm.feed.ts', '## Heartbeat'],
  ])('%s, as it stands under %s', (constant, path, heading) => {
    expect(section(protocol, heading)).toContain(constantOf(constant, path).toLocaleString('en'));
  });

  test.each([
    'maxUnacked',
    'maxDurablePerUser',
    'maxDurable',
    'maxMessagesPerSecond',
    'maxKeysPerSecond',
    'maxConnectionsPerUser',
    'maxConnectionsPerIp',
    'maxUpgradesPerSecond',
  ] as const)('the default of %s', (option) => {
    const value = new PushOptions()[option].toLocaleString('en');
    expect(section(protocol, '## Limits')).toMatch(new RegExp(`\\b${value}\\b[^|]*\`${option}\``));
  });

  test.each(['maxMessageMs', 'headersTimeoutMs', 'tokenGraceMs'] as const)(
    'the default of %s, in seconds',
    (option) => {
      expect(section(protocol, '## Limits')).toContain(`${new PushOptions()[option] / 1000} s (\`${option}\`)`);
    },
  );

  test('how long a ticket is good, and how many there may be', () => {
    const text = section(protocol, '### Tickets');
    const lifeMs = constantOf('TICKET_LIFE_MS', 'src/access/tickets.ts');
    expect(text).toContain(`for **${lifeMs / 1000} s**`);
    expect(text).toContain(`"expiresInMs":${lifeMs}`);
    expect(text).toContain(
      `${constantOf('MAX_TICKETS', 'src/access/tickets.ts').toLocaleString('en')} tickets are open`,
    );
  });

  describe('examples', () => {
    interface Example {
      readonly event: string;
      readonly id?: string;
      readonly data: Record<string, unknown>;
    }
    const lines = [...section(protocol, '## Examples').matchAll(/^([<>]) (\{"event":.*\})/gm)];
    const examples = lines
      .filter(([line]) => !line.includes('…'))
      .map(([, from, text = '']) => ({ from, text, message: JSON.parse(text) as Example }))
      // The one that shows what is answered to an event that is not known.
      .filter(({ message }) => message.event !== 'chat');

    test('are there', () => expect(examples.length).toBeGreaterThan(20));

    test('have events and fields that there are', () => {
      const wrong = examples.filter(({ from, message }) => {
        const member = membersOf(from === '<' ? 'ServerEvents' : 'ClientEvents').find(
          ({ name }) => name === message.event,
        );
        if (member === undefined) return true;
        const fields = shapeOf(member.type)?.match(/\w+/g);
        return shapeOf(member.type) !== undefined && Object.keys(message.data).some((name) => !fields?.includes(name));
      });
      expect(wrong.map(({ text }) => text)).toEqual([]);
    });

    test('have cursors that could be', () => {
      const cursors = examples.flatMap(({ message: { event, id, data } }) =>
        event === 'alarm' ? [id] : [id, data['id'], data['cursor'], data['requested'], data['oldest']],
      );
      const given = cursors.filter((cursor) => cursor !== undefined);
      expect(given.length).toBeGreaterThan(20);
      expect(given.filter((cursor) => parseCursor(String(cursor)) === undefined)).toEqual([]);
    });
  });

  describe('close codes', () => {
    const rows = table(section(protocol, '## Close codes'), 'code');

    test('every one with its reason and what to do', () => {
      expect(rows.map(([code, reason, advice]) => [Number(code), reason, advice])).toEqual(
        Object.values(CloseCodes).map(({ code, reason, advice }) => [code, reason, advice]),
      );
    });

    test.each(Object.entries(CloseCodes))('whether %s is sent today', (name, { code }) => {
      const isSent = sources.some((path) => textOf(path).includes(`CloseCodes.${name}`));
      const row = rows.find(([first]) => first === String(code));
      expect(row?.[3]).toBe(isSent ? 'yes' : 'no');
    });
  });

  test('every refusal of a connection with its status, also in the authenticators that are shipped', () => {
    const gates = sources.filter((path) => path.startsWith('src/gateway/') && path !== TICKET_OFFICE);
    // Answered to an `auth` of an open connection, by an exception.
    const ofOpenConnections = new Set(['401 refresh', '401 otherUser']);
    const found = refusalsIn([...gates, ...sources.filter((path) => path.startsWith('src/access/'))]);
    expect(found).toEqual(expect.arrayContaining(['401 tokenMissing', '401 ticket', '401 revoked', '403 anonymous']));
    // What a plain GET is answered that could be upgraded stands in a section of its own.
    expect(section(protocol, '### A plain GET')).toContain('426 `upgradeRequired`');
    expect([...refusalsOf('## Refusals before the upgrade', 'error'), '426 upgradeRequired'].toSorted()).toEqual(
      [...new Set(found)].filter((refusal) => !ofOpenConnections.has(refusal)).toSorted(),
    );
  });

  test('what to do after every status of a refusal', () => {
    const rows = table(section(protocol, '### After a refusal'), 'status', 'after it');
    const refused = table(section(protocol, '## Refusals before the upgrade'), 'status', 'error').map(
      ([status]) => status,
    );
    expect(rows.flatMap(([statuses = '']) => statuses.split(', ')).toSorted()).toEqual(
      [...new Set(refused)].toSorted(),
    );
    const words = wordsOf('AfterClose', sourceFile('src/protocol/close-codes.ts'));
    expect(rows.map(([, word]) => word).filter((word) => !words.includes(word ?? ''))).toEqual([]);
  });

  test('what a client does on every event', () => {
    const rows = table(section(protocol, '## A client, step by step').replaceAll(/^ {3}/gm, ''), 'on', 'does');
    const events = membersOf('ServerEvents').map(({ name }) => name);
    expect(column(rows)).toEqual([...events, 'anything else']);
  });

  test('every reason of a refusal is a label of the metrics', () => {
    const paths = sources.filter((path) => path.startsWith('src/gateway/') || path.startsWith('src/access/'));
    const words = refusalsIn(paths).map((refusal) => refusal.split(' ')[1] ?? '');
    // Of open connections, and what a plain GET is answered that could be upgraded.
    const noRefusals = new Set(['refresh', 'otherUser', 'upgradeRequired']);
    expect([...REFUSAL_REASONS]).toEqual([...new Set(words)].filter((word) => !noRefusals.has(word)).toSorted());
  });

  test('every refusal of a ticket', () => {
    expect(refusalsOf('### Tickets', '`error` of a ticket')).toEqual(refusalsIn([TICKET_OFFICE]));
  });
});

describe('tokens', () => {
  const path = 'src/access/jwt.authenticator.ts';

  test.each([
    ['README.md', readme],
    ['PROTOCOL.md', protocol],
  ])('%s: every claim that is read', (_, document) => {
    const [, names = ''] = /const \{ \[userNameClaim\]: userName, ([^}]*) \} = claims;/.exec(textOf(path)) ?? [];
    expect(column(table(document, 'claim'))).toEqual(['sub', ...names.split(', ')]);
  });

  test('README.md: every option of JwtAuthenticator', () => {
    const options = membersOf('JwtOptions', sourceFile(path)).map(({ name }) => name);
    expect(column(table(readme, 'option of `JwtAuthenticator`'))).toEqual(options);
  });

  test('README.md: the token that it makes to try is one that counts', async () => {
    const [, command = ''] = /^TOKEN=\$\(([^]*?)\)\n/m.exec(section(readme, '### Tokens')) ?? [];
    const secret = 'a'.repeat(64);
    const made = spawnSync('bash', ['-c', command], { cwd: ROOT, env: { ...process.env, PUSH_JWT_SECRET: secret } });
    const principal = await new JwtAuthenticator({ secret }).refresh(made.stdout.toString().trim());
    expect(principal).toMatchObject({ userName: 'ann', orgId: 'acme', keys: ['meter/*'] });
    expect(principal.expiresAt?.getTime()).toBeGreaterThan(Date.now());
  });

  test('README.md: every field of a principal', () => {
    const text = section(readme, '### An authenticator of your own');
    const fields = membersOf('Principal', sourceFile('src/access/principal.ts')).map(({ name }) => name);
    expect(fields.filter((name) => !text.includes(`\`${name}\``) && !text.includes(`\`${name}:`))).toEqual([]);
  });

  test('README.md: every decision of a PushAuthorizer', () => {
    const text = section(readme, '### What may be seen');
    const decisions = [...textOf('src/access/push.authorizer.ts').matchAll(/^ {2}abstract (\w+)\(/gm)];
    expect(decisions.length).toBe(3);
    expect(decisions.filter(([, name]) => !text.includes(`\`${name}\``))).toEqual([]);
  });
});

describe('OPERATIONS.md: metrics', () => {
  const definitions: MetricDefinition[] = Object.values({ ...OBSERVED_METRICS, ...DURATION_METRICS });

  test('every one with its kind, unit, attributes and meaning, and no other', () => {
    const rows = table(section(operations, '## Metrics'), 'metric', 'kind');
    expect(rows).toEqual(
      definitions.map(({ name, kind, unit, attributes, description }) => [
        `\`${name}\``,
        kind,
        `\`${unit}\``,
        attributes.map((attribute) => `\`${attribute}\``).join(', ') || 'none',
        description,
      ]),
    );
  });

  test('those of the process', () => {
    const found = [...textOf('src/app/metrics/process.metrics.ts').matchAll(/meter\.create\w+\('([\w.]+)'/g)];
    expect(column(table(section(operations, '## Metrics'), 'metric of the process'))).toEqual(
      found.map(([, name]) => name),
    );
  });

  test('those to watch are there', () => {
    const known = [
      ...definitions.map(({ name }) => name),
      ...textOf('src/app/metrics/process.metrics.ts').matchAll(/'(\w+(?:\.\w+)+)'/g),
    ].map(String);
    const watched = column(table(section(operations, '## What to watch'), 'look at')).join(' ');
    const named = watched.match(/\b(?:push|process|nodejs|v8js)\.[\w.]*\w/g) ?? [];
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((name) => !known.some((each) => each.includes(name)))).toEqual([]);
  });
});

describe('OPERATIONS.md: the audit trail', () => {
  const path = 'src/observe/audit.trail.ts';
  const lines = [...section(operations, '## The audit trail').matchAll(/^\{.*\}$/gm)].map(
    ([line]) => JSON.parse(line) as Record<string, unknown>,
  );

  test('has an example of every event, and no other', () => {
    expect([...new Set(lines.map(({ event }) => event))]).toEqual(wordsOf('AuditEvent', sourceFile(path)));
  });

  test('has fields and reasons that there are', () => {
    const text = [path, 'src/gateway/upgrade.gate.ts', 'src/gateway/connections.ts'].map(textOf).join('\n');
    const fields = new Set(lines.flatMap((line) => Object.keys(line)));
    expect([...fields].filter((field) => !new RegExp(`\\b${field}\\b`).test(text))).toEqual([]);
    const reasons = lines.filter(({ event }) => event === 'refuse').map(({ reason, status }) => [reason, status]);
    for (const [reason, status] of reasons.filter(([each]) => each !== undefined)) {
      expect(protocol).toMatch(new RegExp(`^\\| ${status} +\\| \`${reason}\``, 'm'));
    }
  });
});

test.each([
  ['README.md', readme, '### Query parameters', ['path', 'parameter']],
  ['PROTOCOL.md', protocol, '## Paths and query', ['gateway', 'query parameter']],
])('%s: every query parameter that is read', (_, document, heading, titles) => {
  const read = sources.flatMap((path) =>
    [...textOf(path).matchAll(/query\??\.get(?:All)?\('(\w+)'\)/g)].map(([, name]) => name),
  );
  expect(read).toEqual(expect.arrayContaining(['replay', 'maxFrequencyHz', 'ticket', 'access_token']));
  expect(new Set(column(table(section(document, heading), ...titles), 1))).toEqual(new Set(read));
});

/** `PUSH_FLUSH_INTERVAL_MS` → `flushIntervalMs` */
function optionOf(variable: string): string {
  return variable
    .replace(/^PUSH_/, '')
    .toLowerCase()
    .replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

describe('options', () => {
  const defaults = new PushOptions();
  const names = Object.keys(defaults);

  const defaultOf = (name: string) => {
    const value: unknown = defaults[name as keyof PushOptions];
    if (Array.isArray(value)) return `\`${JSON.stringify(value)}\``;
    return typeof value === 'string' ? `\`'${value}'\`` : written(value);
  };

  test('README.md: every option with its default, and no other', () => {
    const rows = table(section(readme, '## Options of the module'), 'option');
    expect(rows.map(([name, value]) => [unquoted(name), value])).toEqual(names.map((name) => [name, defaultOf(name)]));
  });

  test('OPERATIONS.md: the defaults of the options that it names', () => {
    const rows = table(section(operations, '## Limits'), 'option');
    expect(rows.length).toBeGreaterThan(10);
    expect(rows.map(([name, value]) => [name, value])).toEqual(rows.map(([name]) => [name, defaultOf(unquoted(name))]));
  });

  const environment = new Environment();
  const declared = [...textOf('src/app/environment.ts').matchAll(/^ {2}([A-Z][A-Z_]+)\??[:=\s]/gm)];
  const variables = declared.map(([, name]) => name ?? '');
  const defaultOfVariable = (variable: string) =>
    environment[variable as keyof Environment] ?? defaults[optionOf(variable) as keyof PushOptions];

  test('.env: every variable of the environment with its default, and no other', () => {
    const settings = [...textOf('.env').matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => `${name}=${value}`);
    expect(settings).toEqual(variables.map((name) => `${name}=${String(defaultOfVariable(name) ?? '')}`));
  });

  test.each(DOCUMENTS)('%s: every variable that it names is one of the environment', (document) => {
    const named = [...textOf(document).matchAll(/\bPUSH_[A-Z_]*[A-Z]\b(?!_)/g)].map(([name]) => name);
    expect(named.filter((name) => !variables.includes(name))).toEqual([]);
  });

  test('README.md: every variable of the environment with its default, and no other', () => {
    expect(variables).toContain('PUSH_DEMO');
    const rows = table(section(readme, '## Environment of the node'), 'variable');
    expect(rows.map(([name, value]) => [unquoted(name), value])).toEqual(
      variables.map((variable) => [variable, writtenAsText(defaultOfVariable(variable))]),
    );
  });
});

test('OPERATIONS.md: every fixed limit is the constant that it names', () => {
  const rows = table(section(operations, '## Limits'), 'what');
  expect(rows.length).toBeGreaterThan(10);
  for (const [, value, place] of rows) {
    const [, constant = '', path = ''] = /^`(\w+)` in `([^`]+)`$/.exec(place ?? '') ?? [];
    expect(`${constant} ${constantOf(constant, path)}`).toBe(`${constant} ${unquoted(value)}`);
  }
});

describe('README.md: the ways of a datum, of an alarm and of a connection', () => {
  const steps = ['## How a raw datum travels', '## How an alarm travels', '## How a connection is let in'].flatMap(
    (heading) =>
      section(readme, heading)
        .split(/^\d+\. /m)
        .slice(1)
        .map((step, index): [string, string] => [`${heading}, ${index + 1}`, step.replaceAll(/\s+/g, ' ')]),
  );

  test('are there', () => expect(steps.length).toBeGreaterThan(10));

  test.each(steps)('%s', (_, step) => {
    let path = '';
    let functions = 0;
    for (const [, file, name] of step.matchAll(/`(src\/[^`]+)`|`(\w+)\(\)`/g)) {
      if (file !== undefined) path = file;
      expect(existsSync(join(ROOT, path)) ? path : `${path} is missing`).toBe(path);
      if (name === undefined) continue;
      functions += 1;
      // Declared there, as a function or as a method.
      const modifiers = '(?:(?:private|protected|override|static|async) )*';
      const declaration = new RegExp(
        `^(?:export )?(?:async )?function ${name}\\b|^  ${modifiers}${name}(?:<.*>)?\\((?:.*[{(])?$`,
        'm',
      );
      expect(declaration.test(textOf(path)) ? 'declared' : `${name} is not declared in ${path}`).toBe('declared');
    }
    expect(functions).toBeGreaterThan(0);
  });
});

/** As GitHub makes it of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-');
}

const headingsIn = (document: string) => [...withoutComments(document).matchAll(/^(#+) (.+)$/gm)];

function anchorsOf(path: string): Set<string> {
  return new Set(headingsIn(textOf(path)).map(([, , heading]) => anchorOf(heading ?? '')));
}

const linksIn = (document: string) => [...document.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link ?? '');

describe('links', () => {
  test.each(DOCUMENTS)('%s: every link leads somewhere', (document) => {
    const links = linksIn(textOf(document));
    const broken = links
      .filter((link) => !link.startsWith('https://'))
      .filter((link) => {
        const [file = '', anchor] = link.split('#');
        const path = file === '' ? document : join(dirname(document), file);
        if (!existsSync(join(ROOT, path))) return true;
        return anchor !== undefined && !anchorsOf(path).has(anchor);
      });
    expect(links.length).toBeGreaterThan(0);
    expect(broken).toEqual([]);
  });

  test.each(DOCUMENTS)('%s: every source that it names is there', (document) => {
    const named = [...textOf(document).matchAll(/`((?:src|test|docs)\/[\w./-]+\.\w+)`/g)].map(([, path]) => path ?? '');
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

const CODE_BLOCK = /^```.*?^```$/gms;

const levelsIn = (document: string) => headingsIn(document).map(([, hashes]) => hashes);

/** Of each section, the code in its text. */
const codeIn = (document: string) =>
  document
    .replaceAll(CODE_BLOCK, '')
    .split(/^#+ .*$/m)
    .map((text) => [...new Set(text.match(/`[^`]+`/g))].toSorted());

const isOfLanguages = (link: string) => link === 'README.md' || link === 'README.zh-CN.md';

/** Where its links lead, with headings by their number. */
function placesIn(document: string): string[] {
  const anchors = headingsIn(document).map(([, , heading]) => `#${anchorOf(heading ?? '')}`);
  return linksIn(document)
    .filter((link) => !isOfLanguages(link))
    .map((link) => (link.startsWith('#') ? `heading ${anchors.indexOf(link)}` : link))
    .toSorted();
}

describe('README.zh-CN.md says what README.md says', () => {
  const chinese = textOf('README.zh-CN.md');
  const words: Readonly<Record<string, string>> = { 无: 'none', 未达标: 'below' };

  test('in the same blocks of code', () => expect(chinese.match(CODE_BLOCK)).toEqual(readme.match(CODE_BLOCK)));
  test('under headings of the same levels', () => expect(levelsIn(chinese)).toEqual(levelsIn(readme)));
  test('with the same code in the text of each section', () => expect(codeIn(chinese)).toEqual(codeIn(readme)));
  test('with links to the same places', () => expect(placesIn(chinese)).toEqual(placesIn(readme)));

  test.each([
    ['option of `JwtAuthenticator`', '`JwtAuthenticator` 的选项', [0]],
    ['claim', '声明', [0]],
    ['option', '选项', [0, 1]],
    ['variable', '变量', [0, 1]],
    ['status', '状态码', [0]],
    ['case', '用例', [0, 2, 3, 4]],
    ['command', '命令', [0]],
  ])('in the table of each %s', (title, translated, columns) => {
    const rows = table(chinese, translated).map((row) => columns.map((index) => words[row[index] ?? ''] ?? row[index]));
    expect(rows).toEqual(table(readme, title).map((row) => columns.map((index) => row[index])));
  });

  test('and each leads to the other', () => {
    const links = [readme, chinese].map((document) => linksIn(document).filter(isOfLanguages));
    expect(links).toEqual([['README.zh-CN.md'], ['README.md']]);
  });
});

describe('README.md: what it takes from the package', () => {
  const { exports: entries } = JSON.parse(textOf('package.json')) as { exports: Record<string, { types?: string }> };
  const examples = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, text = '']) => text);
  const imported = examples.flatMap((text) =>
    [...text.matchAll(/import \{ ([^}]+) \} from 'nestjs-push-gateway(\/\w+)?'/g)].map(
      ([, names = '', entry = '']) => ({
        names: names.split(', ').map((name) => name.replace(/^type /, '')),
        entry: `.${entry}`,
      }),
    ),
  );
  const extended = examples.flatMap((text) => [...text.matchAll(/extends (\w+)/g)].map(([, name = '']) => name));

  /** Of `./dist/testing/index.d.ts`, by the source that it is made of. */
  const exportedBy = (entry: string) => {
    const source = entries[entry]?.types?.replace('./dist/', 'src/').replace('.d.ts', '.ts') ?? '';
    if (!existsSync(join(ROOT, source))) throw new Error(`there is no entry ${entry}`);
    return sourceFile(source).statements.flatMap((node) =>
      ts.isExportDeclaration(node) && node.exportClause !== undefined && ts.isNamedExports(node.exportClause)
        ? node.exportClause.elements.map(({ name }) => name.text)
        : [],
    );
  };

  test('is there', () => {
    expect(imported.map(({ entry }) => entry)).toEqual(expect.arrayContaining(['.', './testing']));
    expect(extended).toEqual(expect.arrayContaining(['Authenticator', 'ClaimsAuthorizer']));
  });

  test('is exported by that entry', () => {
    const taken = [...imported, { entry: '.', names: extended }];
    const missing = taken.flatMap(({ entry, names }) => {
      const exported = exportedBy(entry);
      return names.filter((name) => !exported.includes(name)).map((name) => `${name} of ${entry}`);
    });
    expect(missing).toEqual([]);
  });
});

test('README.md: every script that it names exists', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
  const commands = readme.matchAll(/\bnpm (?:run ([\w:-]+)|(start|test)\b)/g);
  const named = [...commands].map(([, ofRun, own]) => ofRun ?? own ?? '');
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
});

test('README.md: every route of the app', () => {
  const controllers = sources.filter((path) => path.endsWith('.controller.ts')).map(textOf);
  const routes = controllers.flatMap((text) => {
    const [, prefix = ''] = /@Controller\((?:'([^']*)')?\)/.exec(text) ?? [];
    const paths = [...text.matchAll(/@(?:Get|Post)\((?:'([^']*)')?\)/g)].map(([, path]) => path);
    return paths.map((path) => `/${[prefix, path].filter(Boolean).join('/')}`.replaceAll(/:(\w+)/g, '{file}'));
  });
  expect(routes).toContain('/push/raw-data');
  const text = section(readme, '## HTTP routes of the node');
  expect(
    routes.filter((route) => !new RegExp(`${route.replaceAll(/[{}]/g, String.raw`\$&`)}[^\\w/]`).test(text)),
  ).toEqual([]);
});
