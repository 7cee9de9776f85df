import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { access, rename, statfs } from 'node:fs/promises';
import { endianness } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '../push.causes.js';
import { PushConfigurationError } from '../push.errors.js';

/** What LMDB writes to open a database, its lock file included: it maps that one, and a full disk would end the process. */
const ROOM_BYTES = 256 * 1024;
/** How often a file is looked at again that another process changes meanwhile. */
const LOOKS = 3;

// The layout of the file, for LMDB's format of version 2 on 64-bit machines.
const HEADER_BYTES = 24;
const META_BYTES = HEADER_BYTES + 144;
const NODE_BYTES = 8;
const RECORD_BYTES = 48;
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const NO_PAGE = 0xffff_ffff_ffff_ffffn;
const BRANCH = 0x01;
const LEAF = 0x02;
const OVERFLOW = 0x04;
const META = 0x08;
const LEAF_OF_FIXED = 0x20;
const IN_OVERFLOW = 0x01;
const IS_DATABASE = 0x02;
/** LMDB's own bound of a tree's depth. */
const MAX_DEPTH = 32;
const PAGES_A_TURN = 4096;

/** Throws {@link PushConfigurationError} where the disk has no room to open the log. */
export async function checkRoom(folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= ROOM_BYTES) return;
  throw new PushConfigurationError([
    `the disk of the alarm log in ${folder} is full: free some space, at least ${ROOM_BYTES / 1024} KiB to begin with`,
  ]);
}

/**
 * Moves the database file away where it is not sound, and returns its new place. LMDB maps the file and trusts it: one
 * that is cut short or was never its own ends the process instead of throwing an error.
 */
export async function setDamagedAside(folder: string): Promise<string | undefined> {
  const file = join(folder, 'data.mdb');
  if (!(await exists(file)) || !(await isDamaged(file))) return undefined;
  const place = `${file}.damaged-${new Date().toISOString().replaceAll(/[-:.]/g, '')}`;
  let free = place;
  for (let n = 2; await exists(free); n++) free = `${place}-${n}`;
  await rename(file, free);
  return free;
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return false;
    throw cause;
  }
}

async function isDamaged(file: string): Promise<boolean> {
  // The widths of the other machines' formats differ; LMDB itself refuses what is not of its own.
  const isKnownLayout = endianness() === 'LE' && !['arm', 'ia32'].includes(process.arch);
  if (!isKnownLayout) return false;
  for (let look = 0; look < LOOKS; look++) {
    const descriptor = openSync(file, 'r');
    try {
      const before = readAt(descriptor, 0, 2 * 65_536);
      if (await isSound(descriptor)) return false;
      if (before.equals(readAt(descriptor, 0, 2 * 65_536))) return true;
    } finally {
      closeSync(descriptor);
    }
  }
  throw new PushConfigurationError([
    `another process writes to ${file}, which the lock of this one does not see (in another container?): give each its own alarmLogPath`,
  ]);
}

/** Whether every page that LMDB would look at is there and is what it should be. */
async function isSound(descriptor: number): Promise<boolean> {
  const { size } = fstatSync(descriptor);
  const first = metaAt(descriptor, 0);
  const second = first && metaAt(descriptor, first.pageBytes);
  if (first === undefined || second === undefined || second.pageBytes !== first.pageBytes) return false;
  const meta = second.transaction > first.transaction ? second : first;
  // Pages at the end that are free need not be in the file, so its size alone says nothing: the trees do.
  const trees = new Trees(descriptor, meta.pageBytes, Math.floor(size / meta.pageBytes));
  return trees.areSound(meta.roots);
}

interface Meta {
  readonly pageBytes: number;
  readonly transaction: bigint;
  /** Of the tree of free pages, and of the main one, which has all others. */
  readonly roots: readonly bigint[];
}

function metaAt(descriptor: number, position: number): Meta | undefined {
  const page = readAt(descriptor, position, META_BYTES);
  if (page.length < META_BYTES) return undefined;
  const isMeta = (page.readUInt16LE(18) & META) !== 0;
  if (!isMeta || page.readUInt32LE(HEADER_BYTES) !== MAGIC || page.readUInt16LE(HEADER_BYTES + 4) !== VERSION) {
    return undefined;
  }
  const pageBytes = page.readUInt32LE(48);
  const isPowerOfTwo = (pageBytes & (pageBytes - 1)) === 0;
  if (!isPowerOfTwo || pageBytes < 256 || pageBytes > 65_536) return undefined;
  // More than any machine can map.
  if (page.readBigUInt64LE(40) >= 1n << 47n) return undefined;
  const roots = [page.readBigUInt64LE(88), page.readBigUInt64LE(136)];
  return { pageBytes, transaction: page.readBigUInt64LE(152), roots };
}

/** A node of a leaf, on the page that was read last. */
interface LeafNode {
  readonly flags: number;
  readonly dataAt: number;
  readonly dataBytes: number;
}

/** Walks the trees of a database, and finds each page once, in its place, with nothing that points outside. */
class Trees {
  private readonly page: Buffer;
  private readonly seen: Uint8Array;
  private readonly waiting: { readonly page: number; readonly depth: number }[] = [];

  constructor(
    private readonly descriptor: number,
    private readonly pageBytes: number,
    private readonly pages: number,
  ) {
    this.page = Buffer.alloc(pageBytes);
    this.seen = new Uint8Array(pages);
  }

  async areSound(roots: readonly bigint[]): Promise<boolean> {
    if (!roots.every((root) => this.visit(root, 1))) return false;
    for (let walked = 1; ; walked++) {
      const next = this.waiting.pop();
      if (next === undefined) return true;
      if (!this.isPageSound(next.page, next.depth)) return false;
      if (walked % PAGES_A_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** False where there can be no such page, or it was found before. */
  private visit(root: bigint, depth: number): boolean {
    if (root === NO_PAGE) return true;
    const page = Number(root);
    if (!this.mark(page, 1) || depth > MAX_DEPTH) return false;
    this.waiting.push({ page, depth });
    return true;
  }

  private mark(from: number, count: number): boolean {
    if (from < 2 || from + count > this.pages) return false;
    for (let page = from; page < from + count; page++) {
      if (this.seen[page] === 1) return false;
      this.seen[page] = 1;
    }
    return true;
  }

  private isPageSound(number: number, depth: number): boolean {
    const { page, pageBytes } = this;
    readSync(this.descriptor, page, 0, pageBytes, number * pageBytes);
    const kind = page.readUInt16LE(18) & (BRANCH | LEAF | OVERFLOW | META | LEAF_OF_FIXED);
    if (page.readBigUInt64LE(0) !== BigInt(number)) return false;
    if (kind === (LEAF | LEAF_OF_FIXED)) return true;
    const lower = page.readUInt16LE(20);
    const upper = page.readUInt16LE(22);
    if ((kind !== BRANCH && kind !== LEAF) || lower % 2 !== 0 || lower > upper) return false;
    if (upper > pageBytes - HEADER_BYTES) return false;
    for (let pointer = HEADER_BYTES; pointer < HEADER_BYTES + lower; pointer += 2) {
      const at = page.readUInt16LE(pointer) + HEADER_BYTES;
      if (at < HEADER_BYTES + upper || at + NODE_BYTES > pageBytes) return false;
      const isNodeSound = kind === BRANCH ? this.isBranchSound(at, depth) : this.isLeafSound(at, depth);
      if (!isNodeSound) return false;
    }
    return true;
  }

  private isBranchSound(at: number, depth: number): boolean {
    const { page } = this;
    if (at + NODE_BYTES + page.readUInt16LE(at + 6) > this.pageBytes) return false;
    return this.visit(BigInt(page.readUIntLE(at, 6)), depth + 1);
  }

  private isLeafSound(at: number, depth: number): boolean {
    const { page } = this;
    const flags = page.readUInt16LE(at + 4);
    const dataAt = at + NODE_BYTES + page.readUInt16LE(at + 6);
    const dataBytes = page.readUInt32LE(at);
    const node: LeafNode = { flags, dataAt, dataBytes };
    if ((flags & IN_OVERFLOW) !== 0) return this.isOverflowSound(node);
    if (dataAt + dataBytes > this.pageBytes) return false;
    if ((flags & IS_DATABASE) === 0) return true;
    return dataBytes === RECORD_BYTES && this.visit(page.readBigUInt64LE(dataAt + 40), depth + 1);
  }

  private isOverflowSound({ dataAt, dataBytes }: LeafNode): boolean {
    if (dataAt + HEADER_BYTES > this.pageBytes) return false;
    const first = Number(this.page.readBigUInt64LE(dataAt));
    const count = Math.floor((HEADER_BYTES - 1 + dataBytes) / this.pageBytes) + 1;
    if (!this.mark(first, count)) return false;
    const header = readAt(this.descriptor, first * this.pageBytes, HEADER_BYTES);
    if (header.readBigUInt64LE(0) !== BigInt(first) || (header.readUInt16LE(18) & OVERFLOW) === 0) return false;
    // An overflow page keeps its length when a shorter value takes it over.
    const reserved = header.readUInt32LE(20);
    return reserved === count || (reserved > count && this.mark(first + count, reserved - count));
  }
}

function readAt(descriptor: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(descriptor, bytes, 0, length, position));
}
