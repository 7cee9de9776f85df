const LATE: unique symbol = Symbol('late');

/** What the promise gives; where that takes longer, what `onLate` gives or throws. */
export async function withDeadline<T, L>(promise: Promise<T>, deadlineMs: number, onLate: () => L): Promise<T | L> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<typeof LATE>((resolve) => (timer = setTimeout(resolve, deadlineMs, LATE)));
  try {
    const first = await Promise.race([promise, late]);
    return first === LATE ? onLate() : first;
  } finally {
    clearTimeout(timer);
  }
}
