-- save: a checkpoint, its stages and its log line, and the lease with it: the one round trip of a page.
-- ARGV: lease in ms, then what write() takes
-- Returns {'ok' | 'lost', stop or '', gate generation, gate opens}
local state = write(2)
if state == 'lost' then return {'lost', '', '0', '0'} end
redis.call('ZADD', P .. 'leases', NOW + tonumber(ARGV[1]), ARGV[2])
local stop, generation, opens = notice(ARGV[2])
return {'ok', stop, generation, opens}
