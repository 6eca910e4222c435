-- lock_ask: a turn (a run's attempt) asks for a key: it gets it when nobody has it and nobody came before, else it
-- stands in line, by the time at which its run was made. KEYS[1] is the prefix of the key's slot.
-- ARGV: key, turn (run:attempt), created
-- Returns who has it: {turn, ticket, created}
local key, turn, line = ARGV[1], ARGV[2], P .. 'line:' .. ARGV[1]
local lock = redis.call('HGET', P .. 'locks', key)
local holder, ticket, created = string.match(lock or '', '^(%S+) (%S+) (%S+)$')
if holder == turn then
  redis.call('ZREM', line, turn)
  return {holder, ticket, created}
end
redis.call('ZADD', line, ARGV[3], turn)
if not holder then return pass_lock(key) end
return {holder, ticket, created}
