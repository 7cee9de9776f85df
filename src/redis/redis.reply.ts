/** An answer of Redis that is to be a list. */
export function arrayOf(answer: unknown): readonly unknown[] {
  if (!Array.isArray(answer)) throw new Error('Redis answered with something else than a list');
  return answer;
}
