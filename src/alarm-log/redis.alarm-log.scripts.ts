import { RedisScript } from '../redis/redis.script.js';

/**
 * What the scripts keep, all in one slot:
 *
 * - KEYS[1], a stream: an alarm is the entry `<offset>-0` with its JSON, its fields, its eventId and conditionId (empty where it
 *   has none), the time at which it was appended and the stamp of the call that appended it, which no other call has;
 * - KEYS[2], a hash, the head: epoch, oldest, newest, the stamp of the newest, and the bytes of JSON between the two;
 * - KEYS[3], a hash: of each eventId in the stream its offset;
 * - KEYS[4], a hash: of each active condition the offset of its newest event;
 * - KEYS[5], a hash: events of active conditions that the retention has removed from the stream.
 *
 * Each script begins with what its node knows: ARGV[1] is an epoch for a log that has to begin anew, ARGV[2] how many epochs
 * the node has seen, and then each of them with the highest offset seen in it and its stamp (empty where there is none). What
 * follows is the script's own. Every answer begins with epoch, oldest, newest and the stamp of the newest.
 *
 * Numbers are written as text by `%.0f`: Lua's own way rounds those of more than 14 digits.
 */
const HEAD = `
local stream, headKey, events, conditions, outlived = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local candidate, known = ARGV[1], tonumber(ARGV[2])
local at = 3 + 3 * known

local function text(number) return string.format('%.0f', number) end
local function idOf(offset) return text(offset) .. '-0' end
local function offsetOf(id) return tonumber(string.match(id, '^%d+')) end

local function write(head)
  redis.call('HSET', headKey, 'epoch', head.epoch,
    'oldest', text(head.oldest), 'newest', text(head.newest), 'stamp', head.stamp, 'bytes', text(head.bytes))
end

local function alarmOf(entry)
  local alarm = {}
  for i = 1, #entry[2], 2 do alarm[entry[2][i]] = entry[2][i + 1] end
  return alarm
end

local function alarmAt(offset)
  local entry = redis.call('XRANGE', stream, idOf(offset), idOf(offset))[1]
  return entry and alarmOf(entry)
end

-- Without its head the log is lost; where the stream is still there, its alarms are not.
local function rebuilt()
  local head = { epoch = candidate, oldest = 1, newest = 0, stamp = '', bytes = 0 }
  if redis.call('EXISTS', stream) == 0 then
    redis.call('DEL', events, conditions, outlived)
    return head
  end
  local facts = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #facts, 2 do
    if facts[i] == 'last-generated-id' then head.newest = offsetOf(facts[i + 1]) end
  end
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  head.oldest = first and offsetOf(first[1]) or head.newest + 1
  local newest = alarmAt(head.newest)
  head.stamp = newest and newest.stamp or ''
  return head
end

local function storedHead()
  local epoch, oldest, newest, stamp, bytes =
    unpack(redis.call('HMGET', headKey, 'epoch', 'oldest', 'newest', 'stamp', 'bytes'))
  if not (epoch and oldest and newest and stamp and bytes) then return nil end
  return { epoch = epoch, oldest = tonumber(oldest), newest = tonumber(newest), stamp = stamp, bytes = tonumber(bytes) }
end

-- Whether the alarm that a node has seen there is gone, or another has its offset. One that the retention has removed
-- cannot be judged.
local function isLost(head, offset, stamp)
  if offset > head.newest then return true end
  local alarm = offset == head.newest and head or alarmAt(offset)
  return alarm and stamp ~= '' and alarm.stamp ~= stamp
end

-- Alarms that a node has seen are lost: a cursor of this epoch no longer says what its client has been told.
local function isBehind(head)
  for i = 3, at - 1, 3 do
    if ARGV[i] == head.epoch and isLost(head, tonumber(ARGV[i + 1]), ARGV[i + 2]) then return true end
  end
  return false
end

local head = storedHead()
if not head then
  head = rebuilt()
  write(head)
elseif isBehind(head) then
  head.epoch = candidate
  write(head)
end

local function answer(...) return { head.epoch, head.oldest, head.newest, head.stamp, ... } end
`;

const RETENTION = `
local function remove(offset, alarm)
  if alarm.event ~= '' and redis.call('HGET', events, alarm.event) == text(offset) then
    redis.call('HDEL', events, alarm.event)
  end
  if alarm.condition ~= '' and redis.call('HGET', conditions, alarm.condition) == text(offset) then
    redis.call('HSET', outlived, text(offset), #alarm.fields .. ':' .. alarm.fields .. alarm.json)
  end
end

-- Removes the oldest as long as it has to go; those that are missing go too, instead of standing in the way.
local function drop(hasToGo, pageSize)
  local from, bytesBefore = head.oldest, head.bytes
  local isDone = false
  while not isDone and head.oldest <= head.newest do
    local page = redis.call('XRANGE', stream, idOf(head.oldest), idOf(head.newest), 'COUNT', pageSize)
    if #page == 0 then head.oldest = head.newest + 1 end
    for _, entry in ipairs(page) do
      local offset, alarm = offsetOf(entry[1]), alarmOf(entry)
      head.oldest = offset
      if not hasToGo(offset - from, bytesBefore - head.bytes, tonumber(alarm.at)) then isDone = true break end
      remove(offset, alarm)
      head.bytes = math.max(0, head.bytes - #alarm.json)
      head.oldest = offset + 1
    end
  end
  if head.oldest > head.newest then head.bytes = 0 end
  if head.oldest > from then redis.call('XTRIM', stream, 'MINID', idOf(head.oldest)) end
  return head.oldest - from
end
`;

/** Tries each command that the other scripts need, and answers those that the user may not use. KEYS[1] is for this alone. */
export const RIGHTS_SCRIPT = new RedisScript(`
local key, missing = KEYS[1], {}
-- Of Redis 7.0, of 7.2 and later, of Valkey.
local denials = { 'The user executing the script', 'ACL failure in script', 'NOPERM', 'has no permissions to' }
local function isDenied(fault)
  for _, denial in ipairs(denials) do
    if string.find(fault, denial, 1, true) then return true end
  end
  return false
end
local function try(command, ...)
  local answer = redis.pcall(command, ...)
  -- What else is wrong, as a memory that is full, may be over soon.
  if type(answer) == 'table' and answer.err and isDenied(answer.err) then missing[#missing + 1] = command end
end
try('HSET', key, 'a', '1')
try('HINCRBY', key, 'b', 1)
try('HGET', key, 'a')
try('HMGET', key, 'a')
try('HVALS', key)
try('HGETALL', key)
try('HLEN', key)
try('HDEL', key, 'a')
try('EXISTS', key)
try('DEL', key)
try('XADD', key, 'NOMKSTREAM', '1-0', 'a', '1')
try('XTRIM', key, 'MINID', '1-0')
try('XRANGE', key, '-', '+', 'COUNT', 1)
try('XREAD', 'COUNT', 1, 'STREAMS', key, '0-0')
try('XINFO', 'STREAM', key)
try('TIME')
return missing
`);

/** The answer alone. */
export const STATE_SCRIPT = new RedisScript(`${HEAD} return answer()`);

/** Writes what is there already: only that shows whether Redis takes alarms again. */
export const PROBE_SCRIPT = new RedisScript(`${HEAD} write(head) return answer()`);

/** Begins the error of an append that has died half-way. */
export const HALF_DONE = 'HALFDONE';

/**
 * Own arguments: the time, the stamp, the most alarms and the most bytes to be kept, how many batches, and then each: how many alarms,
 * and of each alarm eventId, conditionId, `1` where the condition is active, fields and JSON. Answers for each batch `ok` with offset and
 * whether it was there already (1) of each alarm, or why nothing of it was stored: `taken`, the index of the alarm, the
 * offset that has its eventId; or `twice` and the two indexes. An error that begins with {@link HALF_DONE} came when alarms
 * were in the stream already, which the next append takes as they are; any other came before.
 */
export const APPEND_SCRIPT = new RedisScript(`${HEAD}${RETENTION}
local now, stamp, maxCount, maxBytes = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
local batches = tonumber(ARGV[at + 4])
at = at + 5
local oldestBefore, added, addedBytes, isHalfDone = head.oldest, 0, 0, false

local function readBatch()
  local alarms = {}
  local count = tonumber(ARGV[at])
  at = at + 1
  for i = 1, count do
    alarms[i] = { event = ARGV[at], condition = ARGV[at + 1], isActive = ARGV[at + 2] == '1', fields = ARGV[at + 3], json = ARGV[at + 4] }
    at = at + 5
  end
  return alarms
end

-- The offset that has this eventId, or why the batch cannot be stored.
local function firstOf(alarm, index, byEvent)
  local twin = byEvent[alarm.event]
  if twin then
    if twin.json ~= alarm.json then return nil, { 'twice', index - 1, twin.index - 1 } end
    return twin.offset
  end
  local offset = redis.call('HGET', events, alarm.event)
  local stored = offset and alarmAt(tonumber(offset))
  if not stored or stored.event ~= alarm.event then return nil end
  if stored.json ~= alarm.json then return nil, { 'taken', index - 1, tonumber(offset) } end
  return tonumber(offset)
end

local function check(alarms)
  local result, new, byEvent = { 'ok' }, {}, {}
  for index, alarm in ipairs(alarms) do
    local first, fault
    if alarm.event ~= '' then first, fault = firstOf(alarm, index, byEvent) end
    if fault then return fault, {} end
    if not first then
      alarm.index, alarm.offset = index, head.newest + #new + 1
      new[#new + 1] = alarm
      if alarm.event ~= '' then byEvent[alarm.event] = alarm end
    end
    result[#result + 1] = first or alarm.offset
    result[#result + 1] = first and 1 or 0
  end
  return result, new
end

local function noteCondition(alarm)
  local replaced = redis.call('HGET', conditions, alarm.condition)
  if replaced and tonumber(replaced) < oldestBefore then redis.call('HDEL', outlived, replaced) end
  if alarm.isActive then redis.call('HSET', conditions, alarm.condition, text(alarm.offset))
  elseif replaced then redis.call('HDEL', conditions, alarm.condition) end
end

local function take(alarm)
  if alarm.event ~= '' then redis.call('HSET', events, alarm.event, text(alarm.offset)) end
  if alarm.condition ~= '' then noteCondition(alarm) end
  head.newest, head.stamp = alarm.offset, alarm.stamp
  head.bytes = head.bytes + #alarm.json
  added = added + 1
  addedBytes = addedBytes + #alarm.json
end

local function put(alarm)
  alarm.stamp = stamp
  redis.call('XADD', stream, idOf(alarm.offset), 'json', alarm.json, 'fields', alarm.fields,
    'event', alarm.event, 'condition', alarm.condition, 'at', now, 'stamp', stamp)
  isHalfDone = true
  take(alarm)
end

-- Of an append that has died half-way, as where a right was taken from the user: a stream takes no id twice, so these
-- would refuse every other alarm.
local function takeLeftOvers()
  for _, entry in ipairs(redis.call('XRANGE', stream, idOf(head.newest + 1), '+')) do
    local alarm = alarmOf(entry)
    alarm.offset, alarm.isActive = offsetOf(entry[1]), cjson.decode(alarm.fields).active ~= false
    isHalfDone = true
    take(alarm)
  end
end

local function append()
  takeLeftOvers()
  local results = {}
  for i = 1, batches do
    local result, new = check(readBatch())
    results[i] = result
    for _, alarm in ipairs(new) do put(alarm) end
  end
  if added == 0 then return results end
  local function isOverSize() return head.newest - head.oldest + 1 > maxCount or head.bytes > maxBytes end
  -- Exact where the retention stays the same; where it has shrunk, the rest is left to the trimming.
  if isOverSize() then
    drop(function(count, bytes) return isOverSize() and (count < 2 * added or bytes < 2 * addedBytes) end, math.min(added, 50))
  end
  write(head)
  return results
end

local isDone, outcome = pcall(append)
if isDone then return answer(outcome) end
if not isHalfDone then error(outcome, 0) end
-- A table since Redis 7.0.
return { err = '${HALF_DONE} ' .. (type(outcome) == 'table' and outcome.err or outcome) }
`);

/**
 * Own arguments: the most alarms and bytes to be kept, the time before which an alarm is too old, how many are removed at
 * most. Answers how many were removed.
 */
export const TRIM_SCRIPT = new RedisScript(`${HEAD}${RETENTION}
local maxCount, maxBytes, oldestKept = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
local step = tonumber(ARGV[at + 3])
local removed = drop(function(count, _, writtenAt)
  local isOverSize = head.newest - head.oldest + 1 > maxCount or head.bytes > maxBytes
  return count < step and (isOverSize or writtenAt < oldestKept)
end, 50)
if removed > 0 then write(head) end
return answer(removed)
`);

/** Own arguments: the offset to read after, the most alarms, the most bytes. Answers id, JSON and fields of each. */
export const READ_SCRIPT = new RedisScript(`${HEAD}
local offset, limit, maxBytes = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
local found, bytes = {}, 0
offset = math.max(offset, head.oldest - 1)
while #found < 3 * limit and offset < head.newest do
  local count = math.min(limit - #found / 3, 25)
  local page = redis.call('XRANGE', stream, idOf(offset + 1), idOf(head.newest), 'COUNT', count)
  if #page == 0 then break end
  for _, entry in ipairs(page) do
    local alarm = alarmOf(entry)
    bytes = bytes + #alarm.json
    if bytes > maxBytes and #found > 0 then return answer(found) end
    found[#found + 1] = entry[1]
    found[#found + 1] = alarm.json
    found[#found + 1] = alarm.fields
    offset = offsetOf(entry[1])
  end
end
return answer(found)
`);

/** Answers offset, JSON and fields of the newest event of each active condition, in no order. */
export const ACTIVE_SCRIPT = new RedisScript(`${HEAD}
local found = {}
local function add(offset, json, fields)
  found[#found + 1] = offset
  found[#found + 1] = json
  found[#found + 1] = fields
end
for _, offset in ipairs(redis.call('HVALS', conditions)) do
  local alarm = alarmAt(tonumber(offset))
  local kept = not alarm and redis.call('HGET', outlived, offset)
  if alarm then
    add(offset, alarm.json, alarm.fields)
  elseif kept then
    local length, rest = string.match(kept, '^(%d+):(.*)$')
    add(offset, string.sub(rest, length + 1), string.sub(rest, 1, length))
  end
end
return answer(found)
`);
