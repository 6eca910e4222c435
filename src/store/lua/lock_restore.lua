-- lock_restore: a turn that got a key steps back, since another one has it, of which the key's slot knows nothing (Redis
-- lost that). It stands in line again. KEYS[1] is the prefix of the key's slot.
-- ARGV: key, turn that steps back, created, turn that has it, its ticket, its created
-- Returns who has it: {turn, ticket, created}
local key, turn, line = ARGV[1], ARGV[2], P .. 'line:' .. ARGV[1]
redis.call('ZADD', line, ARGV[3], turn)
local lock = redis.call('HGET', P .. 'locks', key)
local holder, ticket, created = string.match(lock or '', '^(%S+) (%S+) (%S+)$')
if holder and holder ~= turn then return {holder, ticket, created} end
redis.call('ZREM', line, ARGV[4])
redis.call('HSET', P .. 'locks', key, ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
return {ARGV[4], ARGV[5], ARGV[6]}
