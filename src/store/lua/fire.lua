-- fire: one compare-and-set on a trigger's next time makes the runs of its due slots, each once.
-- ARGV: trigger, expected next, new next or '', newest slot, slots missed, depth to admit to,
--       most runs that may wait before one,
--       then for each slot: run, account, series, mutex or '', key or '', created, wake or '', overlap, slot,
--       request
-- overlap is 'skip', 'queue', 'allow', or 'catch_up' for a slot made up for, which waits its turn.
-- Returns {'behind'} when another scheduler was faster, else {'fired', runs made, slots skipped}
local trigger = ARGV[1]
local state = P .. 'trigger:' .. trigger
local due = redis.call('ZSCORE', P .. 'triggers', trigger)
if not due or tonumber(due) ~= tonumber(ARGV[2]) then return {'behind'} end
local made, skipped = 0, 0
local runs = P .. 'trigger-runs:' .. trigger
for i = 8, #ARGV, 10 do
  local id, overlap = ARGV[i], ARGV[i + 7]
  local active = redis.call('SCARD', runs)
  local crowded = crowd(ARGV[i + 1], ARGV[i + 3], ARGV[i + 4]) >= tonumber(ARGV[7])
  local skip = crowded or (overlap == 'skip' and active > 0) or (overlap == 'queue' and active > 1)
  if redis.call('EXISTS', run_key(id)) == 1 then
    -- Made before by a scheduler whose answer was lost.
  elseif skip then
    skipped = skipped + 1
    redis.call('HSET', state, 'last_skipped', ARGV[i + 8], 'skip_reason', crowded and 'backlog full' or 'overlap')
  else
    create(id, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], trigger, ARGV[i + 5], ARGV[i + 6], ARGV[i + 9])
    redis.call('HSET', state, 'last_run', id)
    made = made + 1
  end
end
if skipped > 0 then redis.call('HINCRBY', state, 'skipped', skipped) end
if tonumber(ARGV[5]) > 0 then redis.call('HINCRBY', state, 'missed', ARGV[5]) end
redis.call('HSET', state, 'last_slot', ARGV[4], 'next', ARGV[3], 'fired', NOW)
redis.call('ZADD', P .. 'triggers', ARGV[3] == '' and '+inf' or ARGV[3], trigger)
admit(tonumber(ARGV[6]))
return {'fired', made, skipped}
