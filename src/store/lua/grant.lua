-- grant: tells a run that it has its key, as the key's slot says; if it waits for that, it goes on to its backlog.
-- ARGV: run, attempt, key, ticket, depth to admit to
-- Returns {'granted'} | {'gone'} when that attempt is over, or needs no such key
--       | {'other', run, attempt, ticket, created} when another run of this partition has it
local id, key = ARGV[1], ARGV[3]
local run = redis.call('HMGET', run_key(id), 'place', 'attempt', 'key', 'ticket')
if not run[1] or run[1] == 'ended' or run[2] ~= ARGV[2] or run[3] ~= key then return {'gone'} end
local other = redis.call('HGET', P .. 'holds', key)
if other and other ~= id then
  local its = redis.call('HMGET', run_key(other), 'place', 'attempt', 'ticket', 'created')
  if its[1] and its[1] ~= 'ended' and its[3] then return {'other', other, its[2], its[3], its[4]} end
end
redis.call('HSET', P .. 'holds', key, id)
if not run[4] then
  redis.call('HSET', run_key(id), 'ticket', ARGV[4], 'updated', NOW)
  log(id, '{"what":"granted","note":"has its mutex"}')
end
if run[1] == 'waiting' and redis.call('ZSCORE', P .. 'keyed', id) then
  leave(id)
  to_backlog(id)
  admit(tonumber(ARGV[5]))
end
return {'granted'}
