-- schedule: makes a trigger's place on the clock agree with its definition. `last_slot` outlives changes. A trigger
-- that is never due stands at the end of time, so that whoever looks for the deleted ones finds it.
-- ARGV: trigger, revision of its definition or '' when it was deleted, next or '' (disabled, or no further slot)
-- Returns 1 if something changed, else 0
local state = P .. 'trigger:' .. ARGV[1]
if ARGV[2] == '' then
  redis.call('ZREM', P .. 'triggers', ARGV[1])
  return redis.call('DEL', state)
end
if redis.call('HGET', state, 'revision') == ARGV[2] then
  redis.call('ZADD', P .. 'triggers', 'NX', '+inf', ARGV[1])
  return 0
end
local resting = redis.call('HGET', state, 'next') == ''
redis.call('HSET', state, 'revision', ARGV[2], 'next', ARGV[3])
-- The time in which it was disabled was not missed.
if resting then redis.call('HSET', state, 'last_slot', NOW) else redis.call('HSETNX', state, 'last_slot', NOW) end
redis.call('ZADD', P .. 'triggers', ARGV[3] == '' and '+inf' or ARGV[3], ARGV[1])
return 1
