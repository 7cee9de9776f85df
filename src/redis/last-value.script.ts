import { RedisScript } from './redis.script.js';

/** Series kept of one (businessType, businessId); beyond it some are dropped, whichever. */
export const MAX_STORED_SERIES = 10_000;
/** Ids of one businessType that a look-up of the whole type finds; beyond it those that were seen longest ago are not found. */
export const MAX_STORED_IDS = 100_000;
/** History kept of one series; its newest value is kept in any case. */
export const MAX_HISTORY_BYTES = 524_288;

/**
 * Publishes a message and writes the newest values in it, in one step: whoever reads the values has been sent the message, or
 * was not subscribed to it; whoever was not subscribed reads them. What cannot be written, for want of memory or rights, is
 * removed, lest an older value be taken for the newest, and the message is published all the same.
 *
 * - KEYS: the hash of the values, the set of the ids, what the names of the lists begin with.
 * - ARGV: channel, message, businessId, values kept of a series, life of all that is kept in ms, the time in ms, whether
 *   that life begins anew (1 or 0), what every record begins with, the number of series that are to be removed, each of
 *   these, and then in turns: series, the number of its datum in the message, and its sequence; those of one series oldest
 *   first. The values themselves are taken from the message, a datum a line below its head.
 *
 * Answers with the first error, or with an empty text.
 */
export const publishWithValues = new RedisScript(`
local values, ids, past = KEYS[1], KEYS[2], KEYS[3]
local message = ARGV[2]
local history, life, now = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local first = 10 + tonumber(ARGV[9])
local fault = ''

local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err and fault == '' then fault = reply.err end
  return reply
end

local function remove(series)
  try('HDEL', values, series)
  if history > 1 then try('DEL', past .. series) end
end

for i = 10, first - 1 do remove(ARGV[i]) end

local lines, from = {}, string.find(message, '\\n', 1, true) + 1
repeat
  local to = string.find(message, '\\n', from, true)
  lines[#lines + 1] = string.sub(message, from, (to or 0) - 1)
  from = (to or 0) + 1
until not to

local kept = {}
for i = first, #ARGV, 3 do
  kept[#kept + 1] = ARGV[i]
  kept[#kept + 1] = ARGV[8] .. ARGV[i + 2] .. ' ' .. lines[tonumber(ARGV[i + 1])]
end

-- Lua unpacks some thousands at a time.
for i = 1, #kept, 2000 do try('HSET', values, unpack(kept, i, math.min(i + 1999, #kept))) end

if history > 1 and fault == '' then
  for i = 1, #kept, 2 do
    local list = past .. kept[i]
    local room = math.max(1, math.min(history, math.floor(${MAX_HISTORY_BYTES} / #kept[i + 1])))
    try('RPUSH', list, kept[i + 1])
    try('LTRIM', list, -room, -1)
    try('PEXPIRE', list, life)
  end
end

if fault ~= '' then
  for i = 1, #kept, 2 do remove(kept[i]) end
elseif ARGV[7] == '1' then
  try('PEXPIRE', values, life)
  try('ZADD', ids, now, ARGV[3])
  try('PEXPIRE', ids, life)
  try('ZREMRANGEBYSCORE', ids, '-inf', now - life)
  try('ZREMRANGEBYRANK', ids, 0, -${MAX_STORED_IDS + 1})
  local excess = redis.call('HLEN', values) - ${MAX_STORED_SERIES}
  if excess > 0 then
    for _, series in ipairs(redis.call('HRANDFIELD', values, math.min(excess, 5000))) do remove(series) end
  end
end

redis.call('PUBLISH', ARGV[1], ARGV[2])
return fault
`);
