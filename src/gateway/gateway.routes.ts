import { Injectable } from '@nestjs/common';
import { parse } from 'path-to-regexp';
import { PushOptions } from '../push.options.js';

export type GatewayName = 'rawData' | 'alarm';

export interface GatewayRoute {
  readonly gateway: GatewayName;
  /** The parts of the path as they were sent, percent-encoded, perhaps empty. */
  readonly rawParameters: Readonly<Record<string, string>>;
}

interface CompiledPath {
  readonly gateway: GatewayName;
  readonly pattern: RegExp;
  readonly names: readonly string[];
}

/** Tells whether a request's path is one of the gateways'. */
@Injectable()
export class GatewayRoutes {
  private readonly paths: readonly CompiledPath[];

  constructor(options: PushOptions) {
    this.paths = [compile('rawData', options.rawDataPath), compile('alarm', options.alarmPath)];
  }

  /**
   * Matches the path as it was sent: normalising it first would make `/ws/rowdata/../alarm` another path than the one
   * that a proxy in front has looked at.
   */
  match(url: string): GatewayRoute | undefined {
    const path = url.split('?', 1)[0] ?? '';
    for (const { gateway, pattern, names } of this.paths) {
      const match = pattern.exec(path);
      if (match === null) continue;
      return { gateway, rawParameters: Object.fromEntries(names.map((name, i) => [name, match[i + 1] ?? ''])) };
    }
    return undefined;
  }
}

/** Parameters may be empty here, so that an empty part is refused with a word of its own rather than as unknown path. */
function compile(gateway: GatewayName, path: string): CompiledPath {
  const names: string[] = [];
  let source = '';
  for (const token of parse(path).tokens) {
    if (token.type === 'text') {
      source += token.value.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
    } else if (token.type === 'param') {
      names.push(token.name);
      source += '([^/]*)';
    }
  }
  return { gateway, pattern: new RegExp(`^${source}$`), names };
}
