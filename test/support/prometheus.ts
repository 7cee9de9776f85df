export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Exposition {
  /** By the name that stands behind `# TYPE`. */
  readonly types: ReadonlyMap<string, string>;
  readonly samples: readonly Sample[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? ([^ ]+)$`);
const COMMENT = new RegExp(`^# (HELP|TYPE|UNIT) (${NAME}) (.+)$`);

/** Reads Prometheus' text format 0.0.4 strictly: an error for whatever it would not take. */
export function parseExposition(text: string): Exposition {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  const series = new Set<string>();
  let family = '';
  for (const line of text.split('\n').filter((each) => each !== '')) {
    if (!line.startsWith('#')) {
      const sample = parseSample(line);
      const own = types.get(family) === 'histogram' ? sample.name.replace(/_(bucket|count|sum)$/, '') : sample.name;
      if (own !== family) throw new Error(`${sample.name} stands among the samples of ${family}`);
      const id = JSON.stringify([sample.name, Object.entries(sample.labels).toSorted()]);
      if (series.has(id)) throw new Error(`twice the same: ${line}`);
      series.add(id);
      samples.push(sample);
      continue;
    }
    const [, keyword, name = '', rest = ''] = COMMENT.exec(line) ?? [];
    if (keyword === undefined) throw new Error(`not a comment of Prometheus: ${line}`);
    if (keyword !== 'TYPE') continue;
    family = name;
    if (types.has(name)) throw new Error(`${name} stands there twice`);
    types.set(name, rest);
  }
  return { types, samples };
}

function parseSample(line: string): Sample {
  const [, name, labels = '', number = ''] = SAMPLE.exec(line) ?? [];
  const value = number === '+Inf' ? Infinity : Number(number);
  if (name === undefined || number === '' || Number.isNaN(value)) throw new Error(`not a sample: ${line}`);
  const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label = '', text = '']) => [label, text]);
  return { name, labels: Object.fromEntries(pairs) as Record<string, string>, value };
}

/** The value of the only sample with this name and these labels. */
export function valueOf({ samples }: Exposition, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const found = samples.filter(
    (sample) => sample.name === name && Object.entries(labels).every(([label, text]) => sample.labels[label] === text),
  );
  const [sample] = found;
  if (sample === undefined || found.length > 1) throw new Error(`${found.length} samples of ${name}`);
  return sample.value;
}
