import { RedisScript } from '../redis/redis.script.js';

/**
 * What the scripts keep, all in one slot:
 *
 * - KEYS[1], a hash: of each subscription, under its id, a row `<generation> <offset> <epoch> <last seen>`;
 * - KEYS[2], a hash: of each user how many there are;
 * - KEYS[3], a hash: `last`, the highest generation, and `deleted`, the highest that a deleted one had.
 *
 * Generations are of Redis' clock, so that they rise also where Redis has lost the last ones that it gave.
 */
const ROWS = `
local rows, users, about = KEYS[1], KEYS[2], KEYS[3]

local function text(number) return string.format('%.0f', number) end
local function rowOf(id)
  local row = redis.call('HGET', rows, id)
  if not row then return nil end
  local generation, offset, epoch, seen = string.match(row, '^(%d+) (%d+) (%S+) (%d+)$')
  return { generation = tonumber(generation), offset = offset, epoch = epoch, seen = tonumber(seen) }
end
local function put(id, row)
  redis.call('HSET', rows, id, text(row.generation) .. ' ' .. row.offset .. ' ' .. row.epoch .. ' ' .. text(row.seen))
end
local function noteHighest(field, generation)
  local highest = tonumber(redis.call('HGET', about, field) or '0')
  if generation > highest then redis.call('HSET', about, field, text(generation)) end
end
`;

const LIMITS = `
-- Why there may not be another one, or nil.
local function limitOf(user, perUser, total)
  if tonumber(redis.call('HGET', users, user) or '0') >= tonumber(perUser) then return 'user' end
  if redis.call('HLEN', rows) >= tonumber(total) then return 'total' end
end
`;

const REMOVAL = `
local function remove(id, user, row)
  redis.call('HDEL', rows, id)
  if redis.call('HINCRBY', users, user, -1) <= 0 then redis.call('HDEL', users, user) end
  noteHighest('deleted', row.generation)
end
`;

/** ARGV: id, user, epoch and offset of the start, the time, both limits. Answers the limit that refuses it, or offset, epoch, generation, isNew. */
export const OPEN_SCRIPT = new RedisScript(`${ROWS}${LIMITS}
local id, user = ARGV[1], ARGV[2]
local row = rowOf(id)
local limit = not row and limitOf(user, ARGV[6], ARGV[7])
if limit then return { limit } end
local time = redis.call('TIME')
local last = tonumber(redis.call('HGET', about, 'last') or '0')
local generation = math.max(last + 1, time[1] * 1000000 + time[2])
local opened = row or { epoch = ARGV[3], offset = ARGV[4] }
opened.generation, opened.seen = generation, tonumber(ARGV[5])
put(id, opened)
redis.call('HSET', about, 'last', text(generation))
if not row then redis.call('HINCRBY', users, user, 1) end
return { opened.offset, opened.epoch, text(generation), row and 0 or 1 }
`);

/** ARGV: id, user, both limits. Answers the limit that an opening would be refused for. */
export const CHECK_SCRIPT = new RedisScript(`${ROWS}${LIMITS}
return not rowOf(ARGV[1]) and limitOf(ARGV[2], ARGV[3], ARGV[4]) or ''
`);

/** ARGV: id, generation, the time, and where it is acknowledged epoch and offset. Answers 1 where it is still held. */
export const ACKNOWLEDGE_SCRIPT = new RedisScript(`${ROWS}
local row = rowOf(ARGV[1])
if not row or row.generation ~= tonumber(ARGV[2]) then return 0 end
row.seen = tonumber(ARGV[3])
local epoch, offset = ARGV[4], ARGV[5]
if epoch and (epoch ~= row.epoch or tonumber(offset) > tonumber(row.offset)) then row.epoch, row.offset = epoch, offset end
put(ARGV[1], row)
return 1
`);

/** ARGV: id, user, generation, the time, epoch and offset. Answers 1 where the opening is stored again. */
export const RESTORE_SCRIPT = new RedisScript(`${ROWS}
local id, user, generation = ARGV[1], ARGV[2], tonumber(ARGV[3])
local row = rowOf(id)
if row and row.generation >= generation then return row.generation == generation and 1 or 0 end
if not row and generation <= tonumber(redis.call('HGET', about, 'deleted') or '0') then return 0 end
put(id, { generation = generation, seen = tonumber(ARGV[4]), epoch = ARGV[5], offset = ARGV[6] })
noteHighest('last', generation)
if not row then redis.call('HINCRBY', users, user, 1) end
return 1
`);

/** Answers each id and its row. */
export const LIST_SCRIPT = new RedisScript(`return redis.call('HGETALL', KEYS[1])`);

/** ARGV: id, user. Answers 1 where there was one. */
export const DELETE_SCRIPT = new RedisScript(`${ROWS}${REMOVAL}
local row = rowOf(ARGV[1])
if not row then return 0 end
remove(ARGV[1], ARGV[2], row)
return 1
`);

/** ARGV: the time before which it was last seen, then id and user of each. Answers how many were deleted. */
export const EXPIRE_SCRIPT = new RedisScript(`${ROWS}${REMOVAL}
local count = 0
for i = 2, #ARGV, 2 do
  local row = rowOf(ARGV[i])
  if row and row.seen < tonumber(ARGV[1]) then
    remove(ARGV[i], ARGV[i + 1], row)
    count = count + 1
  end
end
return count
`);
