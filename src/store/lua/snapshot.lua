-- snapshot: all definitions as they are at one moment. KEYS[1] is the definitions' prefix. No transaction, since Redis
-- refuses to queue even reads when its memory is full.
-- ARGV: kind, …
-- Returns {generation, then for each kind: {id, record, …}}
local answer = {redis.call('GET', P .. 'generation') or '0'}
for _, kind in ipairs(ARGV) do answer[#answer + 1] = redis.call('HGETALL', P .. kind) end
return answer
