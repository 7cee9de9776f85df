/** Injection token of the {@link Cluster}. */
export const CLUSTER = Symbol('CLUSTER');

/** How many clients a node has. */
export interface ClientCounts {
  readonly rawData: number;
  readonly alarms: number;
}

/** A node that is alive, or was some seconds ago. */
export interface NodeInfo extends ClientCounts {
  /** Another one after each start of the process. */
  readonly nodeId: string;
  /** Name of its machine. */
  readonly host: string;
  readonly pid: number;
  readonly startedAt: Date;
}

/** Names what nodes tell each other, and the shape of its data, which is JSON. Another shape is another name. */
export interface ClusterCommand<T> {
  readonly name: string;
  /** @internal Only the compiler's. */
  readonly shape?: (data: T) => T;
}

/** Names what nodes ask each other, and the shapes of question and answer, which are JSON. */
export interface ClusterQuestion<Q, A> {
  readonly name: string;
  /** @internal Only the compiler's. */
  readonly shape?: (question: Q) => A;
}

/**
 * What nodes know and say of each other, besides data and alarms.
 *
 * Guarantees: a node's entry vanishes by itself some seconds after the node died; a command arrives at most once, and
 * what one node tells another arrives in its order; a node that does not know a command or a question ignores it, so that
 * nodes of two releases can run side by side. What must not be lost is stored elsewhere, and read again when nodes can be
 * reached again (`onReturned`).
 */
export interface Cluster {
  readonly nodeId: string;

  /** Why other nodes cannot be reached now; undefined where they can, or there are none. */
  readonly fault: string | undefined;

  /** Messages that other nodes could not be told since the start; undefined: there are no others. */
  readonly untoldCount: number | undefined;

  /** From now on this node is one of {@link nodes}, with what `counts` says every few seconds. Never rejects. */
  join(counts: () => ClientCounts): Promise<void>;

  /** The living nodes, this one among them, the one that started first before the others. Throws ClusterUnavailableError. */
  nodes(): Promise<NodeInfo[]>;

  /** To all other nodes. Never throws and never waits; what cannot be told is counted. */
  tell<T>(command: ClusterCommand<T>, data: T): void;

  /** Calls back with what another node told. The returned function ends that. */
  onTold<T>(command: ClusterCommand<T>, listener: (data: T) => void): () => void;

  /** Asks another node. Never rejects; undefined: it did not answer in time, or does not know the question. */
  ask<Q, A>(nodeId: string, question: ClusterQuestion<Q, A>, data: Q): Promise<A | undefined>;

  /** Answers what other nodes ask; one listener a question. The returned function ends that. */
  onAsked<Q, A>(question: ClusterQuestion<Q, A>, answer: (data: Q) => A | Promise<A>): () => void;

  /** Calls back when `fault` has gone: what was told meanwhile is lost. The returned function ends that. */
  onReturned(listener: () => void): () => void;

  /** Takes this node out of {@link nodes}, and says nothing more. */
  close(): Promise<void>;
}
