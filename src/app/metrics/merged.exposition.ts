/** What worker 1, 2 and so on answered; null: it does not run, or did not answer in time. */
export type WorkerTexts = readonly (string | null)[];

/** The metric of the merge itself. */
const UP = {
  name: 'push_worker_up',
  help: 'Whether the metrics of this worker are here: 1, else 0; it does not run, or did not answer in time',
};

/** All that is told of one metric. */
interface Family {
  /** `# HELP`, `# UNIT` and `# TYPE`, by these words. */
  readonly header: Map<string, string>;
  readonly samples: string[];
}

const HEADER = /^# (HELP|UNIT|TYPE) (\S+)/;
const SAMPLE = /^([^\s{]+)(\{\}?)?/;

/**
 * One text of several in the format of Prometheus: each sample gets a label `worker`, and samples of one metric stand together
 * behind one header, as the format wants it. Nothing else is looked at: label values are escaped in the texts already, so
 * that no line break stands within one.
 */
export function mergeExpositions(texts: WorkerTexts): string {
  const families = new Map<string, Family>();
  for (const [index, text] of texts.entries()) {
    if (text !== null) addText(families, text, index + 1);
  }
  const up = texts.map((text, index) => `${UP.name}{worker="${index + 1}"} ${text === null ? 0 : 1}`);
  const lines = [`# HELP ${UP.name} ${UP.help}`, `# TYPE ${UP.name} gauge`, ...up];
  for (const { header, samples } of families.values()) lines.push(...header.values(), ...samples);
  return `${lines.join('\n')}\n`;
}

function addText(families: Map<string, Family>, text: string, worker: number): void {
  let family: Family | undefined;
  for (const line of text.split('\n')) {
    const [, word, name] = HEADER.exec(line) ?? [];
    if (word !== undefined && name !== undefined) {
      family = families.get(name) ?? { header: new Map<string, string>(), samples: [] };
      families.set(name, family);
      if (!family.header.has(word)) family.header.set(word, line);
    } else if (line !== '' && !line.startsWith('#')) {
      family?.samples.push(labelled(line, worker));
    }
  }
}

function labelled(sample: string, worker: number): string {
  return sample.replace(SAMPLE, (_, name: string, braces: string | undefined) => {
    const label = `${name}{worker="${worker}"`;
    return braces === '{' ? `${label},` : `${label}}`;
  });
}
