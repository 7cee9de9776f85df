import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import ts from 'typescript';
import { CloseCodes } from '../src/protocol/close-codes.js';
import { PUSH_V1 } from '../src/protocol/messages.js';
import { PushOptions } from '../src/push.options.js';
import { adviceAfter } from '../src/sdk/advice.js';
import { codeBlocks, column, ROOT, section, table, textOf, unquoted } from './support/documents.js';
import { filesIn, membersOf, propertiesOf, shapeOf, sourceFile, wordsOf } from './support/sources.js';

const clients = textOf('docs/CLIENTS.md');
const readme = textOf('README.md');
const library = filesIn('src/sdk').map(textOf).join('\n');

const options = sourceFile('src/sdk/options.ts');
const events = sourceFile('src/sdk/events.ts');
const errors = sourceFile('src/sdk/push-client.error.ts');
const serverEvents = membersOf('ServerEvents');

const codes = (advice: string) =>
  Object.values(CloseCodes)
    .filter((each) => each.advice === advice)
    .map(({ code }) => code);

/** What the library assumes where the option is absent, if that is a number. */
function defaultIn(text: string, option: string): string | undefined {
  return new RegExp(`\\b${option} (?:=|\\?\\?) ([\\d_]+)\\b`).exec(text)?.[1]?.replaceAll('_', '');
}

describe('CLIENTS.md: the library', () => {
  test.each([
    ['option of `connectRawData`', ['RawDataAddress', 'RawDataOptions']],
    ['option of every connection', ['ConnectionOptions']],
    ['option of `connectAlarms`', ['AlarmOptions']],
  ])('every %s, and no other', (title, types) => {
    const names = types.flatMap((type) => propertiesOf(type, options));
    expect(column(table(clients, title))).toEqual(names);
  });

  test('every default that is a number', () => {
    const rows = table(clients, 'option of every connection');
    const numbers = rows.filter(([, value]) => /^`\d+`$/.test(value ?? ''));
    expect(numbers.map(([option, value]) => [option, unquoted(value)])).toEqual(
      numbers.map(([option]) => [option, defaultIn(library, unquoted(option))]),
    );
    expect(numbers.length).toBe(4);
  });

  test('every filter', () => {
    const [filters = ''] = table(clients, 'option of `connectAlarms`')
      .filter(([name]) => name === '`filters`')
      .flat()
      .slice(2);
    expect(filters.match(/\w+(?=\?)/g)).toEqual(propertiesOf('AlarmFilters', options));
  });

  test('every event, with the data of those that the server sends, and no other', () => {
    const rows = table(section(clients, '### Events'), 'event');
    const ofServer = serverEvents.map(({ name }) => name).filter((name) => name !== 'mark');
    const ofLibrary = ['RawDataEvents', 'AlarmEvents', 'ConnectionEvents'].flatMap((type) =>
      propertiesOf(type, events),
    );
    expect(new Set(column(rows))).toEqual(new Set([...ofServer, ...ofLibrary]));
    expect(rows.length).toBe(new Set(column(rows)).size);
    const shapes = serverEvents.flatMap(({ name, type }) => {
      const shape = shapeOf(type);
      return shape === undefined || name === 'mark' ? [] : [[`\`${name}\``, `\`${shape}\``]];
    });
    expect(rows.map(([event, parameters]) => [event, parameters])).toEqual(expect.arrayContaining(shapes));
  });

  test('every state, and every fault of an error', () => {
    expect(column(table(clients, 'state'))).toEqual(wordsOf('ConnectionState', events));
    expect(column(table(clients, '`fault`'))).toEqual(wordsOf('PushClientFault', errors));
  });

  test('which refusals are final', () => {
    const [, final = ''] = /FINAL = new Set\(\[([^\]]*)\]\)/.exec(library) ?? [];
    const statuses = final.replace(/, (?=\d+$)/, ' and ');
    expect(section(clients, '### What it does after a failed connect')).toContain(`${statuses} are final`);
  });

  test('the defaults of the server that it names', () => {
    const { maxUnacked, durableTtlHours } = new PushOptions();
    expect(clients).toContain(`${maxUnacked.toLocaleString('en')} alarms (\`maxUnacked\`)`);
    expect(durableTtlHours).toBe(7 * 24);
    expect(clients).toContain('for a week (`durableTtlHours`)');
  });
});

describe('what CLIENTS.md and README.md show of the library', () => {
  const shown = [
    ...codeBlocks(clients, 'js').map((text): [string, string] => ['CLIENTS.md', text]),
    ...codeBlocks(section(readme, '## The client library'), 'js').map((text): [string, string] => ['README.md', text]),
  ];
  /** Of the applications in the examples, and of React Native. */
  const SURROUNDINGS = `
    declare const show: (text: string) => void;
    declare const draw: (text: string) => Promise<void>;
    declare const database: {
      add(id: string, alarm: object): Promise<void>;
      loadPlace(): Promise<string | undefined>;
      savePlace(place: string): Promise<void>;
    };
    declare const AsyncStorage: {
      getItem(key: string): Promise<string | null>;
      setItem(key: string, value: string): Promise<void>;
    };
    declare const AppState: { addEventListener(type: 'change', listener: (state: string) => void): unknown };
  `;

  test('is there', () => expect(shown.length).toBeGreaterThan(8));

  test('compiles, each by itself', () => {
    const files = new Map(shown.map(([document, text], index) => [join(ROOT, `${document}.${index}.ts`), text]));
    const compilerOptions: ts.CompilerOptions = {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
      types: ['node'],
      paths: { 'nestjs-push-gateway/client': ['./src/sdk/index.ts'] },
      strict: true,
      skipLibCheck: true,
      noEmit: true,
    };
    const host = ts.createCompilerHost(compilerOptions);
    const { getSourceFile, fileExists } = host;
    host.getCurrentDirectory = () => ROOT;
    host.fileExists = (path) => files.has(path) || fileExists(path);
    host.getSourceFile = (path, target, ...more) => {
      const text = files.get(path);
      if (text === undefined) return getSourceFile(path, target, ...more);
      return ts.createSourceFile(path, text + SURROUNDINGS, target);
    };
    const complaints = ts
      .getPreEmitDiagnostics(ts.createProgram([...files.keys()], compilerOptions, host))
      .map(({ messageText, file }) => `${file?.text}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
    expect(complaints).toEqual([]);
  }, 60_000);
});

describe('CLIENTS.md: without the library', () => {
  const steps = [...section(clients, '### Step by step').matchAll(/^(\d+)\. \*\*/gm)].map(([, number]) =>
    Number(number),
  );
  /** Of what a program deals with by its own name. */
  const EVENTS = ['ready', 'mark', 'alarm', 'heartbeat', 'gap', 'drain', 'exception'];

  test('its steps are numbered, and deal with every event of alarms but `degraded`', () => {
    expect(steps).toEqual(Array.from({ length: 9 }, (_, index) => index + 1));
    const ofRawData = new Set(['rawData', 'subscribed', 'unsubscribed', 'conflated']);
    const ofAlarms = serverEvents.map(({ name }) => name).filter((name) => !ofRawData.has(name) && name !== 'degraded');
    expect(EVENTS.toSorted()).toEqual(ofAlarms.toSorted());
  });

  test('each of its steps is tried with a real client', () => {
    const tried = textOf('test/e2e/documented-clients.e2e-spec.ts').matchAll(/'(\d)\. /g);
    expect([...new Set([...tried].map(([, number]) => Number(number)))].toSorted()).toEqual(steps);
  });

  describe.each([
    ['Python', 'python'],
    ['Kotlin', 'kotlin'],
    ['Swift', 'swift'],
  ])('%s', (language, tag) => {
    const [program = '', ...others] = codeBlocks(section(clients, `### ${language}`), tag);
    /** The numbers of a constant that is a set. */
    const numbersOf = (name: string) => {
      const [, numbers = ''] = new RegExp(`^(?:val |let )?${name}\\b[^[({]*[[({]([\\d, ]+)`, 'im').exec(program) ?? [];
      return numbers.split(', ').map(Number);
    };
    test('is one program', () => {
      expect(others).toEqual([]);
      expect(program.length).toBeGreaterThan(1000);
    });

    test('has the path, the subprotocol, the place and the token of the protocol', () => {
      for (const word of [
        new PushOptions().alarmPath,
        `"${PUSH_V1}"`,
        'lastEventId=',
        'bearer',
        '"id"',
        '"event"',
        '"data"',
      ])
        expect(program.toLowerCase()).toContain(word.toLowerCase());
    });

    test('names every event that it has to know, and the fields of its data', () => {
      for (const event of EVENTS) expect(program).toContain(`"${event}"`);
      for (const field of ['cursor', 'reason', 'retryAfterMs']) expect(program).toContain(`"${field}"`);
    });

    test('goes by the close codes of the protocol, and by the statuses of a refusal', () => {
      const all = Array.from({ length: 4000 }, (_, index) => 1000 + index);
      expect(numbersOf('stop')).toEqual(all.filter((code) => adviceAfter(code) === 'stop'));
      expect(numbersOf('refresh')).toEqual(codes('refresh'));
      expect(numbersOf('back_?off')).toEqual(codes('back off'));
      const [, final = ''] = /FINAL = new Set\(\[([^\]]*)\]\)/.exec(library) ?? [];
      expect(numbersOf('final(?:Statuses)?')).toEqual(final.split(', ').map(Number));
      for (const word of ['"Retry-After"', '"error"', '401', '1006']) expect(program).toContain(word);
    });

    test('says at each step which it is', () => {
      const numbers = [...program.matchAll(/(?:#|\/\/) (\d)\b/g)].map(([, number]) => Number(number));
      expect([...new Set(numbers)].toSorted()).toEqual(steps);
    });
  });
});
