type Property = 'navigator' | 'document' | 'location' | 'addEventListener' | 'removeEventListener';

const PROPERTIES: readonly Property[] = [
  'navigator',
  'document',
  'location',
  'addEventListener',
  'removeEventListener',
];

/** What a browser has and Node has not, put on the global object until the test leaves the page. */
export class FakePage {
  origin = 'null';
  private isOnline = true;
  private isVisible = true;
  private readonly listeners = new Set<{ type: string; listener: () => void }>();
  private readonly before = PROPERTIES.map(
    (name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const,
  );

  constructor() {
    const events = {
      addEventListener: (type: string, listener: () => void) => void this.listeners.add({ type, listener }),
      removeEventListener: (type: string, listener: () => void) => this.remove(type, listener),
    };
    const isOnline = () => this.isOnline;
    const isVisible = () => this.isVisible;
    const origin = () => this.origin;
    const values: Record<Property, unknown> = {
      ...events,
      navigator: {
        get onLine() {
          return isOnline();
        },
      },
      location: {
        get origin() {
          return origin();
        },
      },
      document: {
        ...events,
        get visibilityState() {
          return isVisible() ? 'visible' : 'hidden';
        },
      },
    };
    for (const name of PROPERTIES) {
      Object.defineProperty(globalThis, name, { value: values[name], configurable: true, writable: true });
    }
  }

  get listenerCount(): number {
    return this.listeners.size;
  }

  setOnline(isOnline: boolean): void {
    this.isOnline = isOnline;
    this.fire(isOnline ? 'online' : 'offline');
  }

  show(): void {
    this.isVisible = true;
    this.fire('visibilitychange');
  }

  hide(): void {
    this.isVisible = false;
    this.fire('visibilitychange');
  }

  leave(): void {
    for (const [name, descriptor] of this.before) {
      if (descriptor === undefined) Reflect.deleteProperty(globalThis, name);
      else Object.defineProperty(globalThis, name, descriptor);
    }
  }

  private remove(type: string, listener: () => void): void {
    for (const each of this.listeners)
      if (each.type === type && each.listener === listener) this.listeners.delete(each);
  }

  private fire(type: string): void {
    for (const each of this.listeners) if (each.type === type) each.listener();
  }
}
