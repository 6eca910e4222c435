-- held_by: which run of this partition has a key.
-- ARGV: key
-- Returns {run, attempt, ticket, created, '1' when it was found to be the only one, else ''} | {}
local id = redis.call('HGET', P .. 'holds', ARGV[1])
if not id then return {} end
local run = redis.call('HMGET', run_key(id), 'place', 'attempt', 'ticket', 'created', 'held')
if not run[1] or run[1] == 'ended' or not run[3] then return {} end
return {id, run[2], run[3], run[4], run[5] or ''}
