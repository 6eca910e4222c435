-- give_back: an entry that was read by a worker without a free slot returns to the stream.
-- ARGV: run, entry
-- Returns 1 if it was given back, else 0
local run = redis.call('HMGET', run_key(ARGV[1]), 'place', 'entry')
redis.call('XACK', P .. 'ready', 'workers', ARGV[2])
redis.call('XDEL', P .. 'ready', ARGV[2])
if run[1] ~= 'ready' or run[2] ~= ARGV[2] then return 0 end
to_ready(ARGV[1])
return 1
