-- lock_free: a turn gives a key back, or leaves its line; the first in line has the key then. KEYS[1] is the prefix of
-- the key's slot.
-- ARGV: key, turn (run:attempt)
-- Returns who has it: {turn, ticket, created}, or {}
local key, turn = ARGV[1], ARGV[2]
redis.call('ZREM', P .. 'line:' .. key, turn)
local lock = redis.call('HGET', P .. 'locks', key)
local holder, ticket, created = string.match(lock or '', '^(%S+) (%S+) (%S+)$')
if holder and holder ~= turn then return {holder, ticket, created} end
return pass_lock(key)
