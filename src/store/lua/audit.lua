-- audit: looks at one slice of a prefix's keys, or of the members of one of them, and says what has no owner. Each
-- slice is judged at one moment, so it is right while runs are at work, too.
-- ARGV: '' for the keys themselves, or the name of a key (without the prefix) for its members; cursor, '0' to
--       begin; how many to look at; idle time after which a consumer should be gone in ms; '1' to remove leftovers
--       as well (never keys of a kind that is not known: they may be a later version's) and to list again what no list
--       names, '0' to change nothing
-- Returns {next cursor or '0', then for each finding: what, subject, why}. what is
--   'orphan'    a run that is not in the one place where it says it is
--   'leftover'  a key or member without an owner
--   'account'   a key (why) that belongs to this account: the caller knows which there are
--   'trigger'   a key (why) that belongs to this trigger
--   'lock'      a turn (run and attempt) that holds a key (why) or stands in its line, as the key's slot has it
--   'line'      a turn that waits for a key (why), as its own partition has it
--   'members'   a key whose members should be looked at
local name, cursor, count, idle, sweeps = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local found = {}

local function split(key)
  local at = string.find(key, ':', 1, true)
  if at then return string.sub(key, 1, at - 1), string.sub(key, at + 1) end
  return key, nil
end

local kind = split(name)
local is_set = kind == 'live' or kind == 'trigger-runs'

local function say(what, subject, why)
  found[#found + 1] = what
  found[#found + 1] = subject
  found[#found + 1] = why
end

-- A leftover, with the command that removes it, if there is one.
local function left(subject, why, command, key, ...)
  say('leftover', subject, why)
  if sweeps and command then redis.call(command, P .. key, ...) end
end

local function of_run(id, field) return redis.call('HGET', run_key(id), field) end

-- Every place that holds the run, by looking rather than by what it says.
local function places(id, run)
  local held = {}
  local account, entry, mutex = run[2] or '', run[3] or '', run[4] or ''
  local function look(place, key)
    if redis.call('ZSCORE', P .. key, id) then held[#held + 1] = place end
  end
  look('backlog', 'backlog:' .. account)
  look('leased', 'leases')
  look('parked', 'parked')
  look('ended', 'ended')
  if mutex ~= '' then look('waiting', 'waiting:' .. mutex) end
  look('waiting', 'keyed')
  if entry ~= '' and #redis.call('XRANGE', P .. 'ready', entry, entry) > 0 then held[#held + 1] = 'ready' end
  return held
end

local function judge_run(id)
  local run = redis.call('HMGET', run_key(id), 'place', 'account', 'entry', 'mutex', 'request', 'created', 'trigger', 'key',
    'ticket', 'stop', 'attempt')
  if not run[1] or not run[2] or not run[5] or not run[6] then
    return left('run:' .. id, 'it lacks what every run has', 'DEL', 'run:' .. id)
  end
  local held = places(id, run)
  if #held ~= 1 or held[1] ~= run[1] then
    local where = #held == 0 and 'in no place' or 'in ' .. table.concat(held, ' and ')
    say('orphan', id, 'it says that it is ' .. run[1] .. ', and is ' .. where)
    -- Of one that has not ended reconcile takes care.
    if sweeps and run[1] == 'ended' then redis.call('ZADD', P .. 'ended', of_run(id, 'finished') or NOW, id) end
  end
  local live = redis.call('SISMEMBER', P .. 'live', id) == 1
  if live == (run[1] == 'ended') then
    say('orphan', id, 'it is ' .. run[1] .. ', and is ' .. (live and '' or 'not ') .. 'counted as live')
    if sweeps then redis.call(live and 'SREM' or 'SADD', P .. 'live', id) end
  end
  if not redis.call('ZSCORE', P .. 'runs', id) then left('run:' .. id, 'no list names it', 'ZADD', 'runs', run[6], id) end
  local mutex = run[4] or ''
  local key, ticket = run[8] or '', run[9]
  local waits_for_key = redis.call('ZSCORE', P .. 'keyed', id)
  if run[1] == 'waiting' and not waits_for_key and redis.call('HEXISTS', P .. 'mutexes', mutex) == 0 then
    say('orphan', id, 'it waits for ' .. mutex .. ', which nobody holds')
  end
  if key == '' then return end
  if ticket and redis.call('HGET', P .. 'holds', key) ~= id then
    say('orphan', id, 'it has a ticket for ' .. key .. ', which it does not hold')
  elseif not ticket and run[1] == 'leased' and not run[10] then
    say('orphan', id, 'it is leased without its key ' .. key)
  elseif waits_for_key then
    if ticket then say('orphan', id, 'it waits for its key ' .. key .. ', which it has') end
    say('line', id .. ':' .. run[11], key)
  end
end

local function judge_backlog(account)
  local key = 'backlog:' .. account
  if not redis.call('ZSCORE', P .. 'ring', account) and not redis.call('ZSCORE', P .. 'asleep', account) then
    say('orphan', redis.call('ZRANGE', P .. key, 0, 0)[1] or '?', 'its account ' .. account .. ' never gets a turn')
  end
  say('members', key, '')
end

local function judge_stage(id)
  local run = redis.call('HMGET', run_key(id), 'place', 'status', 'undelivered')
  local why = not run[1] and 'its run is gone'
  if run[1] == 'ended' and run[2] == 'completed' and run[3] ~= '1' then why = 'its run completed' end
  if not why then return end
  left('stage:' .. id, why)
  if sweeps then unstage(id) end
end

-- How long a key stays that should expire and does not: as long as any of these would.
local EXPIRES_MS = 86400000

local function must_expire(key)
  if redis.call('PTTL', P .. key) < 0 then
    left(key, 'it should expire, and does not', 'PEXPIRE', key, EXPIRES_MS)
  end
end

local function judge_log(id)
  if redis.call('EXISTS', run_key(id)) == 0 then left('log:' .. id, 'its run is gone', 'DEL', 'log:' .. id) end
end

local function judge_content(address)
  if redis.call('ZSCORE', P .. 'contents', address) then return end
  -- Into the list, not away: a run may have pinned it.
  left('content:' .. address, 'no list names it', 'ZADD', 'contents', NOW, address)
end

-- A namespace's cells and their list stand and fall together; without cells there may be fences, which expire.
local function judge_state(namespace)
  if redis.call('EXISTS', P .. 'cells:' .. namespace) == 0 then must_expire('state:' .. namespace) end
end

local function judge_cells(namespace)
  if redis.call('EXISTS', P .. 'state:' .. namespace) == 0 then
    return left('cells:' .. namespace, 'its cells are gone', 'DEL', 'cells:' .. namespace)
  end
  say('members', 'cells:' .. namespace, '')
end

-- What is remembered of an account's records. A set is used by whoever reads the same job's node for the same account:
-- which job that is, its name does not say, so one that nobody used for so long is of none that there is.
local SET_LIFE_MS = 180 * 86400000

local function of_account(kind)
  return function(account) say('account', account, kind .. ':' .. account) end
end

-- A part of a set: `detail` is the account and the set.
local function judge_part(kind)
  return function(detail)
    local account, set = split(detail)
    say('account', account, kind .. ':' .. detail)
    if not redis.call('ZSCORE', P .. 'sets:' .. account, set) then
      left(kind .. ':' .. detail, 'no list names it', 'ZADD', 'sets:' .. account, NOW, set)
    end
  end
end

-- What a key is, by its name; `detail` is what follows the colon.
local kinds = {
  run = judge_run,
  stage = judge_stage,
  log = judge_log,
  backlog = judge_backlog,
  waiting = function(mutex) say('members', 'waiting:' .. mutex, '') end,
  gate = function(account) must_expire('gate:' .. account) end,
  budget = function(account) must_expire('budget:' .. account) end,
  idempotency = function(key) must_expire('idempotency:' .. key) end,
  watermarks = of_account('watermarks'),
  ['read-to'] = of_account('read-to'),
  floors = of_account('floors'),
  token = of_account('token'),
  sets = function(account)
    of_account('sets')(account)
    say('members', 'sets:' .. account, '')
  end,
  seen = judge_part('seen'),
  order = judge_part('order'),
  trigger = function(trigger) say('trigger', trigger, 'trigger:' .. trigger) end,
  ['trigger-runs'] = function(trigger) say('members', 'trigger-runs:' .. trigger, '') end,
  content = judge_content,
  line = function(key) say('members', 'line:' .. key, '') end,
  state = judge_state,
  cells = judge_cells,
  graves = function(namespace) say('members', 'graves:' .. namespace, '') end,
}
for _, key in ipairs({'stages', 'ring', 'asleep', 'ready', 'leases', 'parked', 'mutexes', 'triggers', 'live', 'runs', 'ended', 'contents',
  'keyed', 'errands', 'holds', 'locks', 'announcements', 'announced'}) do
  kinds[key] = function() say('members', key, '') end
end
-- Values of the prefix's own.
for _, key in ipairs({'staged', 'turn', 'beat', 'reap-after', 'stripped-to', 'confirmed', 'layout', 'writable', 'generation', 'unified_model', 'integration', 'integrated_account', 'webhook',
  'sync_job', 'sync_job_cron_trigger'}) do
  kinds[key] = function() end
end

local function drop(member, why)
  left(member .. ' in ' .. name, why, is_set and 'SREM' or 'ZREM', name, member)
end

-- A member that must be a run in this place.
local function must_be(place)
  return function(id)
    if of_run(id, 'place') ~= place then drop(id, 'it is no run that is ' .. place) end
  end
end

local function must_exist(key)
  return function(member)
    if redis.call('EXISTS', P .. key .. member) == 0 then drop(member, key .. member .. ' is gone') end
  end
end

local function must_stage(id)
  if redis.call('EXISTS', P .. 'stage:' .. id) == 1 then return end
  left(id .. ' in stages', 'it keeps nothing staged')
  if sweeps then staged(id, 0) end
end

local function must_have_backlog(account)
  if redis.call('EXISTS', P .. 'backlog:' .. account) == 0 then drop(account, 'it has no backlog') end
end

-- A member that must be a field of the hash beside its list.
local function must_be_in(hash)
  return function(member)
    local key = hash .. string.sub(name, string.find(name, ':', 1, true), -1)
    if redis.call('HEXISTS', P .. key, member) == 0 then drop(member, 'it is not in ' .. key) end
  end
end

-- A set of records: of an account that has it, and not unused for too long.
local function must_be_used(set)
  local _, account = split(name)
  local parts = {'seen:' .. account .. ':' .. set, 'order:' .. account .. ':' .. set}
  local function forget_set()
    for _, part in ipairs(parts) do redis.call('UNLINK', P .. part) end
    for _, part in ipairs({'read-to:', 'floors:'}) do redis.call('HDEL', P .. part .. account, set) end
    redis.call('ZREM', P .. name, set)
  end
  if tonumber(redis.call('ZSCORE', P .. name, set)) < NOW - SET_LIFE_MS then
    left(set .. ' in ' .. name, 'no run used it for ' .. SET_LIFE_MS / 86400000 .. ' days')
    if sweeps then forget_set() end
  elseif sweeps and redis.call('EXISTS', P .. parts[1], P .. parts[2]) == 0
    and redis.call('HEXISTS', P .. 'read-to:' .. account, set) == 0 then
    -- Empty, which is nothing wrong.
    forget_set()
  end
end

local function has_ended(id)
  local place = of_run(id, 'place')
  return not place or place == 'ended'
end

local function must_live(id)
  if has_ended(id) then drop(id, 'it is no run that has not ended') end
end

-- What each member of a key must be, by the key's name before the colon.
local members = {
  leases = must_be('leased'),
  parked = must_be('parked'),
  ended = must_be('ended'),
  backlog = must_be('backlog'),
  waiting = must_be('waiting'),
  runs = must_exist('run:'),
  stages = must_stage,
  contents = must_exist('content:'),
  ring = must_have_backlog,
  asleep = must_have_backlog,
  live = must_live,
  sets = must_be_used,
  keyed = must_be('waiting'),
  line = function(turn) say('lock', turn, string.sub(name, 6)) end,
  errands = function() end,
  announcements = function(id)
    if redis.call('HEXISTS', P .. 'announced', id) == 0 then drop(id, 'nothing is known of it') end
  end,
  announced = function(id)
    if not redis.call('ZSCORE', P .. 'announcements', id) then left(id .. ' in announced', 'it is never due', 'HDEL', 'announced', id) end
  end,
  cells = must_be_in('state'),
  graves = must_be_in('state'),
  ['trigger-runs'] = must_live,
  triggers = function(trigger) say('trigger', trigger, trigger .. ' in triggers') end,
}

local function judge_entry(entry)
  local id = entry[2][2] or '?'
  local run = redis.call('HMGET', run_key(id), 'place', 'entry')
  if run[1] ~= 'ready' or run[2] ~= entry[1] then
    left('entry ' .. entry[1] .. ' in ready', 'run ' .. id .. ' does not know it', 'XDEL', 'ready', entry[1])
  end
end

local function judge_group()
  local pending = redis.pcall('XPENDING', P .. 'ready', 'workers', '-', '+', count)
  -- A group that Redis forgot is made again by the next reader.
  if pending.err then return end
  for _, entry in ipairs(pending) do
    if #redis.call('XRANGE', P .. 'ready', entry[1], entry[1]) == 0 then
      left('entry ' .. entry[1] .. ' pending in ready', 'the stream no longer has it', 'XACK', 'ready', 'workers', entry[1])
    end
  end
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', P .. 'ready', 'workers')) do
    local fields = {}
    for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
    if fields['pending'] == 0 and fields['idle'] > idle then
      left('consumer ' .. fields['name'] .. ' of ready', 'it has been idle for ' .. text(fields['idle']) .. ' ms')
    end
  end
end

local function answer(next)
  table.insert(found, 1, next)
  return found
end

if name == '' then
  local scan = redis.call('SCAN', cursor, 'MATCH', P .. '*', 'COUNT', count)
  for _, key in ipairs(scan[2]) do
    local rest = string.sub(key, #P + 1)
    local sort, detail = split(rest)
    if kinds[sort] then kinds[sort](detail) else left(rest, 'it is no kind of key that is known') end
  end
  return answer(scan[1])
end

if kind == 'ready' then
  if cursor == '0' then judge_group() end
  local from = cursor == '0' and '-' or '(' .. cursor
  local entries = redis.call('XRANGE', P .. name, from, '+', 'COUNT', count)
  for _, entry in ipairs(entries) do judge_entry(entry) end
  if #entries < tonumber(count) then return answer('0') end
  return answer(entries[#entries][1])
end
if kind == 'mutexes' or kind == 'holds' or kind == 'locks' then
  local scan = redis.call('HSCAN', P .. name, cursor, 'COUNT', count)
  for i = 1, #scan[2], 2 do
    local what, holder = scan[2][i], scan[2][i + 1]
    if kind == 'locks' then say('lock', string.match(holder, '^%S+'), what)
    -- Whoever waits for it is let go by reconcile.
    elseif has_ended(holder) then left(what .. ' in ' .. kind, 'its holder has ended', 'HDEL', kind, what) end
  end
  return answer(scan[1])
end
if kind == 'announced' then
  local scan = redis.call('HSCAN', P .. name, cursor, 'COUNT', count)
  for i = 1, #scan[2], 2 do members.announced(scan[2][i]) end
  return answer(scan[1])
end
local scan = redis.call(is_set and 'SSCAN' or 'ZSCAN', P .. name, cursor, 'COUNT', count)
for i = 1, #scan[2], is_set and 1 or 2 do members[kind](scan[2][i]) end
-- The counter of staged bytes against their sum, once, where it can be told in one look.
if kind == 'stages' and cursor == '0' and scan[1] == '0' then
  local sum = 0
  for i = 2, #scan[2], 2 do sum = sum + tonumber(scan[2][i]) end
  local counter = tonumber(redis.call('GET', P .. 'staged') or '0')
  if counter ~= sum then
    left('staged', 'it counts ' .. text(counter) .. ' bytes, and ' .. text(sum) .. ' are staged', 'SET', 'staged', text(sum))
  end
end
return answer(scan[1])
