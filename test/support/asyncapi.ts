import { parse } from 'yaml';
import { referencesIn } from './asyncapi.rules.js';
import { textOf } from './documents.js';
import { type JsonObject, objectIn, pointedAt, resolved } from './json-schema.js';

export const asyncApi = parse(textOf('docs/asyncapi.yaml')) as JsonObject;

/** What a pointer points at, with its references in their place. */
export const asyncApiAt = (pointer: string) => resolved(asyncApi, pointedAt(asyncApi, pointer));

export const payloadOf = (message: string) => objectIn(asyncApiAt(`#/components/messages/${message}/payload`));

/** Names of the messages that operations with this tag name, on one channel or on all. */
export function messagesOf(action: 'send' | 'receive', tag: 'plain' | 'push.v1', channel = ''): string[] {
  const operations = Object.values(objectIn(asyncApi['operations'])).map(objectIn);
  const pointers = operations
    .filter(({ tags }) => JSON.stringify(tags) === JSON.stringify([{ name: tag }]))
    .flatMap((operation) => {
      const own = operation['action'] === action ? referencesIn(operation['messages'] ?? []) : [];
      // What answers a message that is received is sent.
      const answers = action === 'send' ? referencesIn(objectIn(operation['reply'])['messages'] ?? []) : [];
      return [...own, ...answers];
    });
  const ofChannel = pointers.filter((pointer) => pointer.startsWith(`#/channels/${channel}`));
  return [...new Set(ofChannel.map((pointer) => pointer.split('/').at(-1) ?? ''))];
}
