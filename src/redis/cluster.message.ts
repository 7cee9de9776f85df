/** What a node that does not know it ignores. */
const VERSION = 1;

/**
 * What travels on the control channels. `probe` is for the sender itself, and shows that the channel carries; `answer`
 * says that the answer lies ready, so that a long one does not hold commands up.
 */
export type ClusterMessage =
  | { readonly kind: 'probe'; readonly n: number }
  | { readonly kind: 'tell'; readonly name: string; readonly data: unknown }
  | { readonly kind: 'ask'; readonly name: string; readonly data: unknown; readonly id: string }
  | { readonly kind: 'answer'; readonly id: string };

export type SentClusterMessage = ClusterMessage & { readonly from: string };

export function encodeClusterMessage(from: string, message: ClusterMessage): string {
  return JSON.stringify({ v: VERSION, from, ...message });
}

/** Undefined: of another release, or none at all. */
export function parseClusterMessage(text: string): SentClusterMessage | undefined {
  const parsed = parseObject(text);
  if (parsed === undefined || parsed['v'] !== VERSION || typeof parsed['from'] !== 'string') return undefined;
  const { kind, from, name, data, id, n } = parsed;
  switch (kind) {
    case 'probe':
      return typeof n === 'number' ? { kind, from, n } : undefined;
    case 'tell':
      return typeof name === 'string' ? { kind, from, name, data } : undefined;
    case 'ask':
      return typeof name === 'string' && typeof id === 'string' ? { kind, from, name, data, id } : undefined;
    case 'answer':
      return typeof id === 'string' ? { kind, from, id } : undefined;
    default:
      return undefined;
  }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
